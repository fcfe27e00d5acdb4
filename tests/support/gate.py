"""A way to a server that a test shuts: to its clients that is a server that has ended, and starting none takes time.

With `tls` it is, to its clients, a server that speaks TLS, whose certificate a test changes.
"""

import asyncio
import ssl
from collections.abc import Coroutine
from contextlib import suppress
from threading import Thread
from typing import Any, Self, TypeAlias


_DEADLINE_S = 10.0

# Of one direction of a connection: where bytes come from, and where they go to.
Ends: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Gate:
    """Passes on connections from `address` and `port` to another port; open from the beginning of the `with` block."""

    def __init__(
        self,
        to_port: int,
        to_address: str = "127.0.0.1",
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address = address
        # 0: one that is free.
        self.port = port
        # What it shows its clients from the next `open` on.
        self.tls = tls
        self._to = to_address, to_port
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *error: object) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self) -> None:
        """Let connections through, on the same port as before."""
        self._do(self._open())

    def shut(self) -> None:
        """End all connections, and refuse new ones."""
        self._do(self._shut())

    def ways(self, there: Ends, back: Ends) -> tuple[Coroutine[Any, Any, None], Coroutine[Any, Any, None]]:
        """What passes on a connection's bytes, until it ends: from the client to the server, and back."""
        return _pump(*there), _pump(*back)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_DEADLINE_S)

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, self.address, self.port, ssl=self.tls)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._passing:
            task.cancel()
        if self._passing:
            await asyncio.wait(self._passing)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A plain function: a task of asyncio's own would complain when it is cancelled.
        task = self._loop.create_task(self._pass_on(reader, writer))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)
        # Also of one that is cancelled before it has begun.
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        with suppress(OSError):
            try:
                there, onward = await asyncio.open_connection(*self._to)
                writers.append(onward)
                ways = self.ways((reader, onward), (there, writer))
                pumps = {asyncio.ensure_future(way) for way in ways}
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
                    await asyncio.wait(pumps)
            finally:
                for each in writers:
                    each.transport.abort()
                    with suppress(OSError):
                        await each.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
