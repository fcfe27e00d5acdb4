"""Rows on their way to Cassandra together."""

import asyncio
from dataclasses import dataclass, field

from lastlogin_consumer.decode import Login


# After so many failures in a row the rest of a burst is not tried: Cassandra is away, and each try costs CPU.
_GIVE_UP_AFTER = 32


@dataclass(slots=True, eq=False)
class Burst:
    """Rows that one call of `write` is trying to write."""

    unsent: list[Login]
    finished: asyncio.Future[None]
    in_flight: int = 0
    failed: list[Login] = field(default_factory=list)
    failures_in_a_row: int = 0
    error: BaseException | None = None

    def settle(self, login: Login, error: BaseException | None) -> None:
        """Note what became of one row in flight."""
        self.in_flight -= 1
        if error is None:
            self.failures_in_a_row = 0
        else:
            self.error = error
            self.failed.append(login)
            self.failures_in_a_row += 1
            if self.failures_in_a_row >= _GIVE_UP_AFTER:
                self.failed += self.unsent
                self.unsent.clear()
        if not self.unsent and not self.in_flight and not self.finished.done():
            self.finished.set_result(None)
