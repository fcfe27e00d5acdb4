"""A broker that may be frozen, and that leaves the processors to those who measure."""

import contextlib
import os
import signal

from lastlogin_stack.kafka import Kafka


# A starting broker takes both processors of a small machine for seconds; in the field it has a machine of its own.
_NICE = 19


class PoliteKafka(Kafka):
    """Kafka, which steps back for everybody else from its start on."""

    def start(self) -> None:
        """Start it and return without waiting for it; nothing when it runs already. Raises `StackError`."""
        super().start()
        pid = self.process.pid()
        if pid is not None:
            os.setpriority(os.PRIO_PGRP, pid, _NICE)


def freeze(kafka: Kafka) -> None:
    """SIGSTOP: connections stay, nothing answers."""
    _signal(kafka, signal.SIGSTOP)


def resume(kafka: Kafka) -> None:
    """SIGCONT; nothing when it does not run."""
    _signal(kafka, signal.SIGCONT)


def _signal(kafka: Kafka, number: int) -> None:
    pid = kafka.process.pid()
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)
