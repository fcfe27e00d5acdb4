"""The command `lastlogin-consumer`."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

from aiokafka.errors import KafkaError

from lastlogin_consumer.dovecot.command import IMPORT_DOVECOT
from lastlogin_consumer.preflight import check
from lastlogin_consumer.reload import reload_level
from lastlogin_consumer.replay.command import REPLAY
from lastlogin_consumer.service import NAME, Consumer
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_consumer.skip.command import SKIP
from lastlogin_service.command import service_command
from lastlogin_service.exits import TEMPFAIL, Exit
from lastlogin_service.notify import Notifier
from lastlogin_service.signals import hangup_event, stop_event
from lastlogin_service.tasks import cancel, unless


async def run(settings: ConsumerSettings, reread: Callable[[], ConsumerSettings]) -> None:
    """Consume until SIGTERM; after SIGHUP with the log's level of what `reread` gives.

    Raises `Exit`; anything else it raises is a defect.
    """
    async with stop_event() as stop, hangup_event() as hangup:
        notifier = Notifier(os.environ)
        consumer = Consumer(settings, notifier)
        reloading = reload_level(hangup, settings, reread, notifier)
        try:
            await unless(stop, _first_of(_consume(consumer), reloading))
            await consumer.finish()
        except KafkaError as error:
            raise Exit(TEMPFAIL, f"the Kafka client has failed for good and must be started anew: {error}") from None
        finally:
            await consumer.close()


async def _consume(consumer: Consumer) -> None:
    await consumer.start()
    await consumer.work()


async def _first_of(*works: Coroutine[Any, Any, object]) -> None:
    """Do all of them until one ends, and raise what that raises; the others are given up."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel(tasks)
    for task in ended:
        task.result()


main = service_command(
    NAME,
    ConsumerSettings,
    run,
    summary="Writes the newest login of each user into Cassandra.",
    check=lambda settings: check(settings, NAME),
    on_hangup="read log.level again",
    subcommands=[IMPORT_DOVECOT, REPLAY, SKIP],
)
