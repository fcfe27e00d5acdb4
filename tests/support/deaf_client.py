"""Run a program of the consumer's whose Kafka clients fall silent: they give no more records, and say nothing.

python deaf_client.py CLIENTS SCRIPT ARGUMENT...

The first one does so after its first records, CLIENTS - 1 more from the beginning; the next one works. The watchdog
looks every 0.2 s and waits for 2 s.
"""

import asyncio
import runpy
import sys
from typing import Any

from aiokafka import AIOKafkaConsumer

from lastlogin_consumer import service, source, watchdog


class Deaf(AIOKafkaConsumer):  # type: ignore[misc] # no type information upstream
    """One of them."""

    clients = 0
    made = 0

    def __init__(self, *topics: str, **options: Any) -> None:
        super().__init__(*topics, **options)
        Deaf.made += 1
        self._silent_after = None if Deaf.made > Deaf.clients else int(Deaf.made == 1)

    async def getmany(self, *partitions: Any, **options: Any) -> Any:
        """Nothing, once it has fallen silent."""
        if self._silent_after == 0:
            await asyncio.sleep(0.1)
            return {}
        found = await super().getmany(*partitions, **options)
        if found and self._silent_after is not None:
            self._silent_after -= 1
        return found


if __name__ == "__main__":
    Deaf.clients = int(sys.argv[1])
    service.STANDSTILL_S = 2.0
    (watchdog.Watchdog.__init__.__kwdefaults__ or {})["look_every_s"] = 0.2
    source.AIOKafkaConsumer = Deaf
    del sys.argv[:2]
    runpy.run_path(sys.argv[0], run_name="__main__")
