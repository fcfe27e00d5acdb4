"""The limit of the machine: a uvloop server that answers a dict transaction, and does nothing else.

usage: bare_server.py SOCKET
"""

import asyncio
import sys

import uvloop


class Bare(asyncio.Protocol):
    """Answers whatever ends in a commit."""

    __slots__ = ("_transport",)
    _transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Say that it is stored."""
        if data.endswith(b"C1\n"):
            self._transport.write(b"O1\n")


async def _serve(path: str) -> None:
    server = await asyncio.get_running_loop().create_unix_server(Bare, path, backlog=65_535)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(sys.argv[1]))
