"""The command `lastlogin-consumer`."""

import os

from aiokafka.errors import KafkaError

from lastlogin_consumer.dovecot.command import IMPORT_DOVECOT
from lastlogin_consumer.preflight import check
from lastlogin_consumer.replay.command import REPLAY
from lastlogin_consumer.service import NAME, Consumer
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_consumer.skip.command import SKIP
from lastlogin_service.command import service_command
from lastlogin_service.exits import TEMPFAIL, Exit
from lastlogin_service.notify import Notifier
from lastlogin_service.signals import stop_event
from lastlogin_service.tasks import unless


async def run(settings: ConsumerSettings) -> None:
    """Consume until SIGTERM. Raises `Exit`; anything else it raises is a defect."""
    async with stop_event() as stop:
        consumer = Consumer(settings, Notifier(os.environ))
        try:
            if await unless(stop, consumer.start()):
                await unless(stop, consumer.work())
            await consumer.finish()
        except KafkaError as error:
            raise Exit(TEMPFAIL, f"the Kafka client has failed for good and must be started anew: {error}") from None
        finally:
            await consumer.close()


main = service_command(
    NAME,
    ConsumerSettings,
    lambda settings, _reread: run(settings),
    summary="Writes the newest login of each user into Cassandra.",
    check=lambda settings: check(settings, NAME),
    subcommands=[IMPORT_DOVECOT, REPLAY, SKIP],
)
