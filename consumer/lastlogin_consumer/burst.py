"""Rows on their way to Cassandra together."""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from cassandra import InvalidRequest

from lastlogin_consumer.decode import Login
from lastlogin_consumer.outcome import Blame, blame


# After so many failures in a row the rest of a burst is not tried: Cassandra is away, and each try costs CPU.
_GIVE_UP_AFTER = 8
# The same of rows alone: halves of what all nodes refuse would be two requests a row.
_GIVE_UP_AFTER_ROWS = 64


@dataclass(slots=True, eq=False)
class Burst:
    """Rows that one call of `write` is trying to write, in batches.

    A batch that nodes look at and refuse is tried again in halves, so that a row they cannot take does not hold the
    others. What is left at the end is `failed`, to be repeated, and `refused`, with what is wrong with each.
    """

    batches: Iterator[list[Login]]
    finished: asyncio.Future[None]
    in_flight: int = 0
    failed: list[Login] = field(default_factory=list)
    refused: list[tuple[Login, BaseException]] = field(default_factory=list)
    failures_in_a_row: int = 0
    error: BaseException | None = None
    # Whether the table may have been changed, whatever else failed.
    table_in_doubt: bool = False
    _halves: deque[list[Login]] = field(default_factory=deque)
    _exhausted: bool = False
    _given_up: bool = False

    @property
    def has_halves(self) -> bool:
        """Whether there is something to send again."""
        return bool(self._halves)

    def next_batch(self) -> list[Login] | None:
        """What to send next; None when all is sent, for now."""
        if self._halves:
            return self._halves.popleft()
        batch = None if self._exhausted else next(self.batches, None)
        if batch is None:
            self._exhausted = True
            self._look_finished()
        return batch

    def settle(self, batch: list[Login], error: BaseException | None) -> bool:
        """Note what became of a batch in flight; whether its rows are to be sent again."""
        self.in_flight -= 1
        again = error is not None and self._failed(batch, error)
        if error is None:
            self.failures_in_a_row = 0
        self._look_finished()
        return again

    def _failed(self, batch: list[Login], error: BaseException) -> bool:
        whose = blame(error)
        if whose is not Blame.ROWS and isinstance(error, InvalidRequest):
            self.table_in_doubt = True
        if self._given_up:
            self.error = error
            self.failed += batch
        elif whose is not Blame.CLUSTER and len(batch) > 1:
            half = len(batch) // 2
            self._halves += (batch[:half], batch[half:])
        elif whose is Blame.ROWS:
            self.refused.append((batch[0], error))
            return False
        else:
            self.error = error
            self.failed += batch
            self._one_more_failed(_GIVE_UP_AFTER if whose is Blame.CLUSTER else _GIVE_UP_AFTER_ROWS)
        return True

    def _one_more_failed(self, most: int) -> None:
        self.failures_in_a_row += 1
        if self.failures_in_a_row >= most:
            self.give_up()

    def give_up(self) -> None:
        """Send nothing more; what was not sent has failed."""
        self._exhausted = self._given_up = True
        for batch in (*self._halves, *self.batches):
            self.failed += batch
        self._halves.clear()

    def _look_finished(self) -> None:
        if self._exhausted and not self._halves and not self.in_flight and not self.finished.done():
            self.finished.set_result(None)
