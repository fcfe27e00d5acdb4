"""A stretch of a partition, as a pipeline reads it, and how far it is written."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Protocol

from lastlogin_consumer.decode import Record
from lastlogin_consumer.errors import FetchFailed, OffsetLost, Unreadable
from lastlogin_consumer.replay.stretches import Stretch
from lastlogin_service.exits import TEMPFAIL, Exit


# A broker that cannot find its way in a damaged file gives nothing, again and again, and aiokafka (0.14) tells no one.
# Longer than the election of a leader.
SILENCE_S = 10.0
_ASK_TIMEOUT_S = 5.0


class Log(Protocol):
    """The whole partition; `source.PartitionLog`."""

    async def fetch(self, position: int, limit: int, wait_s: float) -> Sequence[Record]:
        """Records from `position` on. Raises `FetchFailed`, `Unreadable`, `OffsetLost`."""

    async def end(self) -> int:
        """Offset that the next record to be published will have. Raises `FetchFailed`."""


class StretchLog:
    """Ends by itself: `ended` is called when all of it is done, or all before the first record that is unreadable.

    `position` tells where the client is, which is behind offsets that have no record.
    """

    def __init__(
        self,
        stretch: Stretch,
        log: Log,
        position: Callable[[], Awaitable[int]],
        clock: Callable[[], float] = monotonic,
        silence_s: float = SILENCE_S,
    ) -> None:
        self.stretch = stretch
        self.number = stretch.partition
        # Up to where it is done: written, or of no use.
        self.watermark = stretch.first
        # Offset that could not be read, where it ended early; because Kafka answered and did not give it.
        self.unreadable: int | None = None
        self.withheld = False
        # Deleted while we read.
        self.lost: list[Stretch] = []
        self.ended: Callable[[], object] = lambda: None
        self.advanced: Callable[[int], object] = lambda _offsets: None
        # Where there is nothing more to read.
        self.ends_at = stretch.end
        self._log = log
        self._position = position
        self._clock = clock
        self._limit_s = silence_s
        # For how long we have waited in vain, since we last had a record or another answer.
        self._silent_s = 0.0

    @property
    def is_done(self) -> bool:
        """Whether all of it is done that can be."""
        return self.watermark >= self.ends_at

    @property
    def written(self) -> Stretch:
        """What is done."""
        return replace(self.stretch, end=self._done_to)

    @property
    def left(self) -> Stretch:
        """What is not done."""
        return replace(self.stretch, first=self._done_to)

    @property
    def next(self) -> Stretch:
        """What to go on with: what is left, behind the record that cannot be read."""
        left = self.left
        return replace(left, first=left.first + 1) if left.first == self.unreadable else left

    @property
    def _done_to(self) -> int:
        whole = self.is_done and self.unreadable is None
        return self.stretch.end if whole else min(self.watermark, self.stretch.end)

    def behind(self, offset: int, silence_s: float = SILENCE_S) -> "StretchLog":
        """The part of it behind `offset`, to be read by the same client."""
        return StretchLog(replace(self.stretch, first=offset + 1), self._log, self._position, self._clock, silence_s)

    async def start(self) -> int:
        """Where it begins."""
        return self.stretch.first

    async def fetch(self, position: int, limit: int, wait_s: float) -> Sequence[Record]:
        """Records from `position` on, of this stretch; none at its end, when what was read is due to be written.

        Raises as the log's does; `Exit` (75) when the topic is another one by now.
        """
        if position >= self.ends_at:
            await asyncio.sleep(wait_s)
            return ()
        limit = min(limit, self.ends_at - position)
        silent_s, self._silent_s = self._silent_s, 0.0
        begun = self._clock()
        try:
            records = await self._log.fetch(position, limit, wait_s)
        except Unreadable:
            # With fewer at a time we get at what is good before the damage.
            if limit > 1:
                raise
            self._give_up_at(position)
            return ()
        except OffsetLost as lost:
            if lost.resume_at <= position:
                raise Exit(TEMPFAIL, f"partition {self.number} was truncated or made anew; look again") from None
            self.lost.append(Stretch(self.number, position, min(lost.resume_at, self.ends_at)))
            raise
        inside = [record for record in records if record.offset < self.ends_at]
        if not inside and (records or await self._position() >= self.ends_at):
            # The last offsets have no records.
            self._end_at(position)
        elif not inside and await self._answers():
            self._silent_s = silent_s + self._clock() - begun
            if self._silent_s >= self._limit_s:
                self.withheld = True
                self._give_up_at(position)
        return inside

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(_ASK_TIMEOUT_S):
                await self._log.end()
        except (FetchFailed, TimeoutError):
            return False
        return True

    async def end(self) -> int:
        """Where it ends, when Kafka answers. Raises `FetchFailed`."""
        return min(await self._log.end(), self.ends_at)

    def done(self, watermark: int) -> None:
        """Everything before `watermark` is done."""
        self.advanced(min(watermark, self.stretch.end) - min(self.watermark, self.stretch.end))
        self.watermark = watermark
        self._look()

    def _give_up_at(self, position: int) -> None:
        self.unreadable = position
        self._end_at(position)

    def _end_at(self, position: int) -> None:
        self.ends_at = position
        self._look()

    def _look(self) -> None:
        if self.is_done:
            self.ended()
