"""Work that stands still although the servers answer: then a client of ours is stuck, and a new one goes on.

aiokafka is known to stop without a word after brokers were restarted (its issues 1154, 1037, 880). Cassandra's driver
is watched by `Writer`, which replaces its session and never gives up.
"""

import asyncio
from collections.abc import Awaitable, Callable


# What may keep everybody waiting besides linger: a rebalance, a slow broker's timeouts.
STANDSTILL_S = 120.0
_LOOK_EVERY_S = 10.0
_TIMES = 2


class Watchdog:
    """Watches over `standstill`, the seconds for which there was work and none of it was done.

    `answers` asks Kafka, over a connection of its own, whether it is there for that work: else nobody can do it.
    """

    def __init__(
        self,
        limit_s: float,
        standstill: Callable[[], float],
        answers: Callable[[], Awaitable[bool]],
        *,
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        self._limit_s = limit_s
        self._standstill = standstill
        self._answers = answers
        self._look_every_s = look_every_s

    async def run(self) -> None:
        """Return when work stands still, and Kafka answers."""
        stuck = 0
        # Twice, for it may have been away until now.
        while stuck < _TIMES:
            await asyncio.sleep(self._look_every_s)
            stuck = stuck + 1 if self._standstill() > self._limit_s and await self._answers() else 0
