"""Whether the spool works, and takes messages."""

import asyncio
from collections.abc import Collection, Iterator
from typing import Any

from lastlogin_producer.spool import Spool


# As long as a commit may wait for its reply.
SILENT_S = 2.0
# Longer than the kernel tries on a disk that does not answer (30 s for SCSI); what does not come back by then only
# comes back to another process, if at all.
DEAD_S = 60.0


class SpoolHealth:
    """Sentences for whatever is wrong with the spool and with `tasks` beside it, none while all is well."""

    def __init__(self, spool: Spool, tasks: Collection[asyncio.Task[Any]]) -> None:
        self._spool = spool
        self._tasks = tasks

    def live(self) -> list[str]:
        """Tell what only a new start can mend."""
        return [*self._dead(), *ended(self._tasks)]

    def ready(self) -> list[str]:
        """Tell why logins are not taken on."""
        return list(self._refusing())

    def _dead(self) -> Iterator[str]:
        if self._spool.failed.done():
            yield "The spool cannot be used any more; the log says why"
        elif not self._spool.writer_alive:
            yield "Nothing can be stored any more: the spool's writer has ended"
        elif max(self._spool.disk_silent_s, self._spool.reader_silent_s) > DEAD_S:
            yield f"The disk of the spool has not answered for more than {DEAD_S:.0f} s"

    def _refusing(self) -> Iterator[str]:
        if self._spool.full:
            yield "The spool is full and refuses logins: Kafka must take some, or the disk needs room"
        silent_s = self._spool.disk_silent_s
        if silent_s > SILENT_S:
            yield f"The disk of the spool has not answered for {silent_s:.0f} s"


def ended(tasks: Collection[asyncio.Task[Any]]) -> Iterator[str]:
    """Yield a sentence for each part that should run for ever and does not."""
    for task in tasks:
        if task.done():
            yield f"A part of the service has ended: {task.get_name()}"
