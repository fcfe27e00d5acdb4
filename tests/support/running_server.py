"""A dict server in the test's own loop, with seconds that pass only when the test says so."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from lastlogin_producer.clock import WatchedClock
from lastlogin_producer.conversation import Conversation
from lastlogin_producer.listener import Listener, SocketFile
from lastlogin_producer.server import DictServer, ServerLimits
from tests.fakes.memory_spool import MemorySpool
from tests.support.rules import event_rules


HELLO = b"H3\t2\t0\t\tstatsdb\n"
COMMIT = b"B1\ttest1\nS1\tshared/last-login/imap/test1\t1795387910161\nC1\n"
RULES = event_rules()


class Running:
    """A server with its spool, and seconds that pass only when a test says so."""

    def __init__(self, path: Path, limits: ServerLimits, monotonic: Callable[[], float] | None = None) -> None:
        self.path = path
        self.now = 1_000.0
        # What the host's clock shows, for the time at which a commit was received.
        self.time_s = 10_000
        self.clock = WatchedClock(lambda: self.time_s * 1_000_000_000)
        self.spool = MemorySpool()
        self.server = DictServer(
            Listener(SocketFile(path)),
            RULES,
            self.spool,
            limits,
            monotonic=monotonic or (lambda: self.now),
            now_us=self.clock,
        )

    async def connect(self, data: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client that has sent `data`."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(data)
        return reader, writer

    def connect_now(self, data: bytes) -> socket.socket:
        """A client that connects and sends without the loop having its turn."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self.path))
        client.send(data)
        client.setblocking(False)
        return client

    @property
    def conversation(self) -> Conversation:
        """The only one that is open."""
        [conversation] = [each for each in self.server._shared.connections if isinstance(each, Conversation)]
        return conversation

    @property
    def conversing(self) -> bool:
        """Whether the connection that is open has come that far."""
        return any(isinstance(connection, Conversation) for connection in self.server._shared.connections)

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass and what waited too long be seen."""
        self.now += seconds
        self.server.sweep()


async def until(condition: Callable[[], object]) -> None:
    """Wait for what the server is about to do. Raises TimeoutError."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the server tells nobody what it is about to do
            await asyncio.sleep(0.001)


# Runs a scenario against a server.
Serve = Callable[[Callable[[Running], Awaitable[None]]], None]
