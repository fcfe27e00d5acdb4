"""A way to Cassandra on which some answers come late: what a coordinator does whose replicas have their pauses."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from random import Random
from struct import Struct
from typing import Any

from tests.support.gate import Ends, Gate


# Protocol 4 (native_protocol_v4.spec, 2): version, flags, stream, opcode, length of the body.
_HEADER = Struct(">BBhBI")
_BATCH = 0x0D


@dataclass(slots=True)
class _Asked:
    """Streams of one connection with a batch that has not been answered."""

    late: set[int] = field(default_factory=set)
    soon: set[int] = field(default_factory=set)


class SlowAnswers(Gate):
    """Answers to a share of the batches are `delay_s` late, and overtaken by others.

    For clients that speak protocol 4: version 5 packs messages into frames with checksums. `most_in_flight` counts
    batches without an answer, late ones for `counted_s`: a little later the client gives them up.
    """

    def __init__(self, to_port: int, rng: Random, delay_s: float, counted_s: float) -> None:
        super().__init__(to_port)
        self.share = 0.0
        self.batches = 0
        self.delayed = 0
        self.most_in_flight = 0
        self._rng = rng
        self._delay_s = delay_s
        self._counted_s = counted_s
        self._in_flight = 0

    def ways(self, there: Ends, back: Ends) -> tuple[Coroutine[Any, Any, None], Coroutine[Any, Any, None]]:
        """Message by message."""
        asked = _Asked()
        return self._ask(*there, asked), self._answer(*back, asked)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: _Asked) -> None:
        try:
            while True:
                data, stream, opcode = await _message(reader)
                if opcode == _BATCH:
                    self._note(stream, asked)
                writer.write(data)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._in_flight -= len(asked.soon)
            asked.soon.clear()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: _Asked) -> None:
        try:
            while True:
                data, stream, _ = await _message(reader)
                if stream in asked.late:
                    asked.late.remove(stream)
                    asyncio.get_running_loop().call_later(self._delay_s, writer.write, data)
                    continue
                if stream in asked.soon:
                    asked.soon.remove(stream)
                    self._uncount()
                writer.write(data)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass

    def _note(self, stream: int, asked: _Asked) -> None:
        self.batches += 1
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        if self._rng.random() < self.share:
            self.delayed += 1
            asked.late.add(stream)
            asyncio.get_running_loop().call_later(self._counted_s, self._uncount)
        else:
            asked.soon.add(stream)

    def _uncount(self) -> None:
        self._in_flight -= 1


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, int, int]:
    """The next message, its stream and its opcode."""
    header = await reader.readexactly(_HEADER.size)
    _, _, stream, opcode, length = _HEADER.unpack(header)
    return header + await reader.readexactly(length), stream, opcode
