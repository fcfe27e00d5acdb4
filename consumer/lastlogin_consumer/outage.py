"""Lines in the log when Kafka goes away while we work, and when it is back; at the start `Consumer` says it."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

import structlog


_LOOK_EVERY_S = 1.0

_log = structlog.get_logger(__name__)


class Outage:
    """Says each change of `away`, which tells whether Kafka did not answer when it was last asked; `why` says why."""

    def __init__(
        self, away: Callable[[], bool], why: Callable[[], str], *, look_every_s: float = _LOOK_EVERY_S
    ) -> None:
        self._away = away
        self._why = why
        self._look_every_s = look_every_s
        self._told_away = False

    async def run(self) -> NoReturn:
        """Look until cancelled; when run again it knows what it has said."""
        while True:
            away = self._away()
            if away and not self._told_away:
                _log.error("Cannot read, records wait in Kafka", action="kafka_away", why=self._why())
            elif self._told_away and not away:
                _log.info("Kafka is back", action="kafka_back")
            self._told_away = away
            await asyncio.sleep(self._look_every_s)
