"""The command `lastlogin-consumer`."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiokafka.errors import KafkaError

from lastlogin_consumer.preflight import check
from lastlogin_consumer.service import NAME, Consumer
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_service.command import service_command
from lastlogin_service.exits import TEMPFAIL, Exit
from lastlogin_service.signals import stop_event
from lastlogin_service.tasks import cancel


async def run(settings: ConsumerSettings) -> None:
    """Consume until SIGTERM. Raises `Exit`; anything else it raises is a defect."""
    async with stop_event() as stop:
        consumer = Consumer(settings)
        try:
            if await _unless(stop, consumer.start()):
                await _unless(stop, consumer.work())
                await consumer.finish()
        except KafkaError as error:
            raise Exit(TEMPFAIL, f"the Kafka client has failed for good and must be started anew: {error}") from None
        finally:
            await consumer.close()


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do `work`; give it up when `stop` is set first, and return False."""
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not task.done():
        await cancel([task])
        return False
    await task
    return True


main = service_command(
    NAME,
    ConsumerSettings,
    lambda settings, _reread: run(settings),
    summary="Writes the newest login of each user into Cassandra.",
    check=lambda settings: check(settings, NAME),
)
