"""What `lastlogin-producer --check-config` looks at; a producer that runs meanwhile does not notice."""

import asyncio
from functools import partial

from lastlogin_producer.listener import Listener, SocketFile, taken
from lastlogin_producer.settings import ProducerSettings
from lastlogin_producer.spool.directory import check_directory, is_locked
from lastlogin_producer.spool.spool import LOCK_NAME
from lastlogin_service.endpoint import check_bindable
from lastlogin_service.preflight import Finding, findings
from lastlogin_service.topics import check_topics


async def check(settings: ProducerSettings, name: str) -> list[Finding]:
    """Find what would keep a producer from starting here, and what would keep messages from Kafka."""
    topics = {"events": settings.topics.events, "quarantine": settings.topics.quarantine}
    return await findings(
        partial(asyncio.to_thread, check_bindable, settings.metrics, name),
        partial(asyncio.to_thread, _check_socket, settings),
        partial(asyncio.to_thread, check_directory, settings.spool.directory),
        partial(check_topics, settings.kafka, topics),
    )


def _check_socket(settings: ProducerSettings) -> None:
    listened_to = Listener(SocketFile.of(settings.socket)).check()
    # Who holds the lock of our spool is the producer that this configuration is for.
    if listened_to and not is_locked(settings.spool.directory / LOCK_NAME):
        raise taken(settings.socket.path)
