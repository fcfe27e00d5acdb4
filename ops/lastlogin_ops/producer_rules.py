"""The producer's rules, from the file that configures it, used where no producer runs.

The one place where this command reaches into the producer: what a write means must not be told twice. Only its pure
rules and its settings are imported, neither of which needs a package that this command lacks.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from lastlogin_ops.quarantined import Interpret
from lastlogin_producer.dictproto import CommittedWrite
from lastlogin_producer.events import EventRules
from lastlogin_producer.rules import Dropped
from lastlogin_producer.settings import ProducerSettings
from lastlogin_schemas.event import LoginEvent, RawWrite
from lastlogin_service.settings import load


# Rules are made once for each backend that a write came from.
_MAX_BACKENDS = 1_000


class ProducerFile(ProducerSettings):
    """The producer's settings, without those that only mean something on the producer's own host.

    This host need not have the group of the socket, the certificates, or the password for Kafka.
    """

    socket: Any = None
    spool: Any = None
    kafka: Any = None
    shutdown: Any = None
    metrics: Any = None
    log: Any = None


def load_producer_file(file: Path) -> ProducerFile:
    """Read the file alone, without any environment. Raises `Exit` (78), with a line for each problem."""
    return load(ProducerFile, file, {})


def interpreter(settings: ProducerSettings) -> Interpret:
    """Read writes as a producer with these settings would, each as one of the backend that set it aside."""

    @lru_cache(maxsize=_MAX_BACKENDS)
    def rules(backend: str) -> EventRules:
        return EventRules.of(settings, backend)

    def interpret(write: RawWrite) -> LoginEvent | RawWrite | None:
        committed = CommittedWrite(write.user, write.dict_name, write.entries)
        read = rules(write.backend).interpret(committed, write.received_at_us)
        if isinstance(read, RawWrite) and write.dict_name not in settings.dicts:
            names = ", ".join(settings.dicts)
            return read._replace(detail=f"the file has no dict {write.dict_name}; its dicts are {names}")
        return None if isinstance(read, Dropped) else read

    return interpret
