"""What `lastlogin-producer --check-config` looks at; a producer that runs meanwhile does not notice."""

import asyncio
from functools import partial

from lastlogin_producer.listener import Listener, SocketFile, taken
from lastlogin_producer.rule_settings import without_column
from lastlogin_producer.settings import ProducerSettings
from lastlogin_producer.spool.directory import check_directory, is_locked
from lastlogin_producer.spool.spool import LOCK_NAME
from lastlogin_producer.unix_sockets import holder, listening_inodes
from lastlogin_service.listening import check_bindable
from lastlogin_service.preflight import Finding, findings
from lastlogin_service.topics import check_topics


# With socket activation it listens for us, also while no producer runs.
_SERVICE_MANAGER = 1


async def check(settings: ProducerSettings, name: str) -> list[Finding]:
    """Find what would keep a producer from starting here, and what would keep messages from Kafka."""
    topics = {"events": settings.topics.events, "quarantine": settings.topics.quarantine}
    skipped = [Finding(sentence) for sentence in without_column(settings.dicts, settings.rules)]
    return skipped + await findings(
        partial(asyncio.to_thread, check_bindable, settings.metrics, name),
        partial(asyncio.to_thread, _check_socket, settings),
        partial(asyncio.to_thread, check_directory, settings.spool.directory),
        partial(check_topics, settings.kafka, topics),
    )


def _check_socket(settings: ProducerSettings) -> list[Finding]:
    path = settings.socket.path
    if not Listener(SocketFile.of(settings.socket)).check():
        return []
    try:
        # Who holds the lock of our spool is the producer that this configuration is for.
        if is_locked(settings.spool.directory / LOCK_NAME):
            return []
    except OSError as error:
        return [Finding(f"{path}: somebody listens there, and who it is cannot be seen: {error}")]
    process = holder(listening_inodes(path))
    if process is None:
        return [Finding(f"{path}: somebody listens there; only root can see whether it is the service manager, for us")]
    if process != _SERVICE_MANAGER:
        raise taken(path)
    return []
