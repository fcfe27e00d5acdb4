"""What the two processes of a producer say to each other over a socket pair, as bytes. Pure.

    frame      what it is (1 byte), length of the rest (4), the rest
    MESSAGES   number of the batch (4), a list of the messages' fields, as `marshal` writes it
    OUTCOMES   number of the batch (4), an outcome for each message in turn (1)
    SAYING     anything else, pickled: seldom, and both sides are the same program

All numbers are unsigned and little-endian. Logins go through here by the ten thousand a second: a batch is packed
and unpacked at once, and turned into Avro on the other side, where there is time.
"""

import marshal
import pickle
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from lastlogin_producer.outcome import Outcome
from lastlogin_schemas.event import LoginEvent, RawWrite


Message: TypeAlias = LoginEvent | RawWrite

MESSAGES, OUTCOMES, SAYING = 1, 2, 3

_HEAD = struct.Struct("<BI")
_NUMBER = struct.Struct("<I")
_OUTCOMES = tuple(Outcome)
_CODES = {outcome: code for code, outcome in enumerate(_OUTCOMES)}
# By the number of their fields.
_KINDS: dict[int, Callable[[Iterable[Any]], Message]] = {
    len(kind._fields): kind._make for kind in (LoginEvent, RawWrite)
}


def messages(batch: int, of_batch: Iterable[Message]) -> bytes:
    """Frame a batch of messages."""
    rest = marshal.dumps([tuple(message) for message in of_batch])
    return _HEAD.pack(MESSAGES, _NUMBER.size + len(rest)) + _NUMBER.pack(batch) + rest


def read_messages(rest: bytes) -> tuple[int, list[Message]]:
    """Return the number of the batch, and its messages."""
    (batch,) = _NUMBER.unpack_from(rest)
    of_batch = marshal.loads(memoryview(rest)[_NUMBER.size :])  # noqa: S302 - as below
    return batch, [_KINDS[len(fields)](fields) for fields in of_batch]


def outcomes(batch: int, of_each: Iterable[Outcome]) -> bytes:
    """Frame what became of a batch."""
    codes = bytes([_CODES[outcome] for outcome in of_each])
    return _HEAD.pack(OUTCOMES, _NUMBER.size + len(codes)) + _NUMBER.pack(batch) + codes


def read_outcomes(rest: bytes) -> tuple[int, list[Outcome]]:
    """Return the number of the batch, and what became of each message."""
    (batch,) = _NUMBER.unpack_from(rest)
    return batch, [_OUTCOMES[code] for code in rest[_NUMBER.size :]]


def saying(*words: Any) -> bytes:
    """Frame anything."""
    rest = pickle.dumps(words)
    return _HEAD.pack(SAYING, len(rest)) + rest


def read_saying(rest: bytes) -> tuple[Any, ...]:
    """Return what was framed."""
    words: tuple[Any, ...] = pickle.loads(rest)  # noqa: S301 - from our own process, over a socket without a name
    return words


class Frames:
    """Cuts a stream into frames."""

    def __init__(self) -> None:
        self._left = bytearray()
        self._needed = _HEAD.size

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield what it is and the rest, of each frame that is whole now."""
        if self._left:
            self._left += data
            if len(self._left) < self._needed:
                return
            data = bytes(self._left)
            self._left.clear()
        at = 0
        while True:
            self._needed = _HEAD.size
            if len(data) - at >= _HEAD.size:
                what, size = _HEAD.unpack_from(data, at)
                self._needed += size
            if len(data) - at < self._needed:
                self._left += data[at:]
                return
            start = at + _HEAD.size
            at += self._needed
            yield what, data[start:at]
