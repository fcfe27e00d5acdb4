"""How long the oldest message has been waiting for Kafka."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from lastlogin_producer.records import decoded
from lastlogin_producer.spool import BEGINNING, Spool, SpoolFault
from lastlogin_schemas.errors import Undecodable


_LOOK_EVERY_S = 2.0
# The first row that is read waits, if Kafka has not just taken it.
_LOOK_ROWS = 100


class OldestWaiting:
    """Looks at the spool's first waiting row now and then; `run` is a task for the life of the service.

    Between two looks the age grows by the clock, so that it may be up to `_LOOK_EVERY_S` too high just after Kafka has
    taken that row, and is right while Kafka takes nothing. `now_us` gives microseconds since 1970-01-01 UTC.
    """

    def __init__(self, spool: Spool, now_us: Callable[[], int]) -> None:
        self._spool = spool
        self._now_us = now_us
        self._sequence = 0
        self._received_at_us: int | None = None

    @property
    def age_s(self) -> float:
        """Seconds since the oldest waiting message came in; 0 when none waits."""
        if self._received_at_us is None or not self._spool.rows_waiting:
            return 0.0
        return max(0.0, (self._now_us() - self._received_at_us) / 1_000_000)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            # The publisher reads the same rows and complains; the last look holds meanwhile.
            with suppress(SpoolFault, Undecodable):
                await self.look()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def look(self) -> None:
        """Find the oldest waiting row. Raises `SpoolFault` when the disk does not read, `Undecodable` for a defect."""
        rows = await self._spool.read(BEGINNING, _LOOK_ROWS) if self._spool.rows_waiting else []
        if not rows:
            self._received_at_us = None
        elif self._received_at_us is None or rows[0].sequence != self._sequence:
            self._sequence = rows[0].sequence
            self._received_at_us = decoded(rows[0]).received_at_us
