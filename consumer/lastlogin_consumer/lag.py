"""How far behind a partition is. Pure; time comes in, in seconds of the wall clock, as Kafka's append times are.

Behind is what is neither written nor set aside: from the watermark to the partition's end, whether it has been
fetched, waits for Cassandra or the dead-letter topic, or cannot be read.
"""

from typing import NamedTuple


class Lag(NamedTuple):
    """Records that are neither written nor set aside, and the age of the oldest of them; both 0 when caught up."""

    records: int
    seconds: float


def lag(watermark: int, end: int, appended_at: float | None, behind_since: float | None, now: float) -> Lag:
    """Lag of a partition that is done up to `watermark` and ends at `end`.

    `appended_at` is when Kafka took the oldest record in between, None while that is unknown; `behind_since` when
    we first knew that there is one. The earlier counts: where Kafka's clock is ahead of ours, the lag of a stalled
    partition grows all the same. Never negative.
    """
    if end <= watermark:
        return Lag(0, 0.0)
    known = [at for at in (appended_at, behind_since) if at is not None]
    return Lag(end - watermark, max(0.0, now - min(known, default=now)))


class Progress(NamedTuple):
    """What is told of a partition that is ours: lag and watermark, None before they are known.

    `held` while it cannot be read on.
    """

    lag: Lag | None
    watermark: int | None
    held: bool


class Backlog:
    """What is known of one partition, from its assignment on: who fetches, writes and asks for the end tells."""

    __slots__ = (
        "_asked_at",
        "_behind_since",
        "_end",
        "_followed_at",
        "_newest_at",
        "_oldest_at",
        "_taken",
        "watermark",
    )

    def __init__(self) -> None:
        # Offset up to which all is done; None before reading has begun.
        self.watermark: int | None = None
        # Up to where records have been taken.
        self._taken = 0
        self._end: int | None = None
        # When Kafka was asked for the end.
        self._asked_at = 0.0
        # Append times of the oldest and the newest record that is taken and not done.
        self._oldest_at: float | None = None
        self._newest_at: float | None = None
        # Append time of the last record that is done, if the next one was there by then: it is hardly younger.
        self._followed_at: float | None = None
        self._behind_since: float | None = None

    def begin(self, watermark: int) -> None:
        """Reading begins at `watermark`; everything before it is done."""
        self.watermark = self._taken = watermark
        self._look_behind()

    def ends_at(self, end: int, now: float) -> None:
        """Kafka says where the partition ends."""
        self._end = end
        self._asked_at = now
        if self._oldest_at is None:
            self._look_behind()

    def took(self, position: int, first_ms: int, last_ms: int, now: float) -> None:
        """Records up to `position` were fetched; the first and last were appended at so many milliseconds."""
        if self._oldest_at is None:
            self._oldest_at = first_ms / 1000
        self._newest_at = last_ms / 1000
        self._taken = position
        if self._behind_since is None:
            self._behind_since = now

    def done(self, watermark: int) -> None:
        """All that was taken is written or set aside, or lost; `watermark` is where the next fetch begins."""
        # Between the last record that was taken and the next one may lie days of lost ones.
        followed = watermark == self._taken
        self.watermark = self._taken = watermark
        behind = self._is_behind()
        self._behind_since = self._asked_at if behind else None
        self._followed_at = self._newest_at if behind and followed else None
        self._oldest_at = self._newest_at = None

    def lag(self, now: float) -> Lag | None:
        """Lag at `now`; None before it is known where the partition begins and ends."""
        if self.watermark is None or (self._end is None and self._taken <= self.watermark):
            return None
        # The end was asked for some time ago: what has been taken since is there, too.
        end = max(self._end or 0, self._taken)
        appended_at = self._followed_at if self._oldest_at is None else self._oldest_at
        return lag(self.watermark, end, appended_at, self._behind_since, now)

    def _is_behind(self) -> bool:
        return self.watermark is not None and self._end is not None and self._end > self.watermark

    def _look_behind(self) -> None:
        if not self._is_behind():
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._asked_at
