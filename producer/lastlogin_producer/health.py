"""Whether the producer works, and whether it takes logins on. Kafka has no say in either: the spool is for that."""

import asyncio
from collections.abc import Collection, Iterator
from typing import Any, Protocol

from lastlogin_producer.outbox.health import DEAD_S, SILENT_S, ended
from lastlogin_producer.outbox.state import State
from lastlogin_producer.server import DictServer


class Outbox(Protocol):
    """What is known here of the process with the spool."""

    @property
    def state(self) -> State:
        """What it said last."""

    @property
    def silent_s(self) -> float:
        """Seconds for which it has not answered."""


class Health:
    """What `/livez` and `/readyz` ask: sentences for whatever is wrong anywhere, none while all is well."""

    def __init__(self, outbox: Outbox, server: DictServer, tasks: Collection[asyncio.Task[Any]]) -> None:
        self._outbox = outbox
        self._server = server
        self._tasks = tasks

    def live(self) -> list[str]:
        """Tell what only a new start can mend."""
        silent = [f"The outbox has not answered for more than {DEAD_S:.0f} s"] * (self._outbox.silent_s > DEAD_S)
        return [*silent, *self._outbox.state.dead, *ended(self._tasks)]

    def ready(self) -> list[str]:
        """Tell why logins are not taken on."""
        return list(self._refusing())

    def _refusing(self) -> Iterator[str]:
        if not self._server.listening:
            yield "The dict socket is not served"
        if self._server.misplaced:
            yield "Clients do not find the dict socket: its file was removed or replaced"
        if self._outbox.silent_s > SILENT_S:
            yield f"The outbox has not answered for {self._outbox.silent_s:.0f} s"
        else:
            yield from self._outbox.state.refusing
