"""Whether the producer works, and whether it takes logins on. Kafka has no say in either: the spool is for that."""

import asyncio
from collections.abc import Collection, Iterator
from typing import Any

from lastlogin_producer.server import DictServer
from lastlogin_producer.spool import Spool


# As long as a commit may wait for its reply.
_SILENT_S = 2.0
# Longer than the kernel tries on a disk that does not answer (30 s for SCSI); what does not come back by then only
# comes back to another process, if at all.
_DEAD_S = 60.0


class Health:
    """What `/livez` and `/readyz` ask: sentences for whatever is wrong, none while all is well."""

    def __init__(self, spool: Spool, server: DictServer, tasks: Collection[asyncio.Task[Any]]) -> None:
        self._spool = spool
        self._server = server
        self._tasks = tasks

    def live(self) -> list[str]:
        """Tell what only a new start can mend."""
        return list(self._dead())

    def ready(self) -> list[str]:
        """Tell why logins are not taken on."""
        return list(self._refusing())

    def _dead(self) -> Iterator[str]:
        if self._spool.failed.done():
            yield "The spool cannot be used any more; the log says why"
        elif not self._spool.writer_alive:
            yield "Nothing can be stored any more: the spool's writer has ended"
        elif self._spool.disk_silent_s > _DEAD_S:
            yield f"The disk of the spool has not answered for more than {_DEAD_S:.0f} s"
        for task in self._tasks:
            if task.done():
                yield f"A part of the service has ended: {task.get_name()}"

    def _refusing(self) -> Iterator[str]:
        if not self._server.listening:
            yield "The dict socket is not served"
        if self._server.misplaced:
            yield "Clients do not find the dict socket: its file was removed or replaced"
        if self._spool.full:
            yield "The spool is full and refuses logins: Kafka must take some, or the disk needs room"
        silent_s = self._spool.disk_silent_s
        if silent_s > _SILENT_S:
            yield f"The disk of the spool has not answered for {silent_s:.0f} s"
