"""A ring of three Cassandra nodes that tests cut in parts: nodes reach each other through gates, clients do not.

Each node tells the others an address at which a gate stands for it. That takes no rights and leaves the machine's
network as it is.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import combinations
from typing import Any

from lastlogin_stack.cassandra import RING, Cassandra, ring_address
from lastlogin_stack.commands import wipe
from lastlogin_stack.layout import Layout
from lastlogin_stack.services import create_ring_table
from tests.support.gate import Ends, Gate
from tests.support.ring import Ring


# What a node sends first: magic, flags, length of its address, address (HandshakeProtocol.Initiate).
_INITIATE = 4 + 4 + 1 + 4
_TICK_S = 0.02


class PartitionedRing(Ring):
    """The nodes; between those of a pair in `cut` nothing passes, and connections stand, as when a line is broken."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout, _BehindGate)
        self.cut: set[frozenset[int]] = set()

    def split(self, *parts: tuple[int, ...]) -> None:
        """Cut the ring into these parts."""
        self.cut.update(
            frozenset((one, other)) for some, others in combinations(parts, 2) for one in some for other in others
        )

    def heal(self) -> None:
        """Let everything pass again."""
        self.cut.clear()


class _BehindGate(Cassandra):
    """A node that the others reach at its gate."""

    def prepare(self) -> None:
        """Write its configuration with gates for addresses of nodes."""
        super().prepare()
        path, port = self.directory / "cassandra.yaml", self.layout.ring_storage_port
        yaml = path.read_text("utf-8")
        for node in RING:
            yaml = yaml.replace(f"{ring_address(node)}:{port}", f"{_gate_address(node)}:{port}")
        assert self._node is not None
        path.write_text(f"{yaml}broadcast_address: {_gate_address(self._node)}\n", "utf-8")


class _NodeGate(Gate):
    """Where the others reach a node. Each connection carries messages one way, and both ends' part of the handshake."""

    def __init__(self, layout: Layout, node: int, cut: set[frozenset[int]]) -> None:
        port = layout.ring_storage_port
        super().__init__(port, ring_address(node), address=_gate_address(node), port=port)
        self._node = node
        self._cut = cut

    def ways(self, there: Ends, back: Ends) -> tuple[Coroutine[Any, Any, None], Coroutine[Any, Any, None]]:
        """Wait while the two are cut off from each other."""
        pair: asyncio.Future[frozenset[int]] = asyncio.get_running_loop().create_future()
        return self._begin(*there, pair), self._pass(*back, pair)

    async def _begin(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: asyncio.Future[frozenset[int]]
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            initiate = await reader.readexactly(_INITIATE)
            pair.set_result(frozenset((initiate[-1], self._node)))
            await self._passable(pair)
            writer.write(initiate)
            await self._pass(reader, writer, pair)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: asyncio.Future[frozenset[int]]
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._passable(pair)
                writer.write(data)
                await writer.drain()

    async def _passable(self, pair: asyncio.Future[frozenset[int]]) -> None:
        both = await pair
        while both in self._cut:  # noqa: ASYNC110 - the test changes it on a thread of its own
            await asyncio.sleep(_TICK_S)


def _gate_address(node: int) -> str:
    # The last byte is the node's, too.
    return f"127.0.1.{node}"


@contextmanager
def partitioned_ring(layout: Layout) -> Iterator[PartitionedRing]:
    """Start it beside the stack of `layout`, with the table, and stop it afterwards."""
    own = Layout(layout.directory.with_name(layout.directory.name + "-partitioned"), layout.base_port + 200)
    own.create()
    ring = PartitionedRing(own)
    with ExitStack() as gates:
        for node in RING:
            gates.enter_context(_NodeGate(own, node, ring.cut))
        try:
            ring.start()
            create_ring_table(own)
            yield ring
        finally:
            ring.heal()
            # Not stopped: nothing of them is kept.
            ring.kill(*RING)
            wipe(own)
