"""Which numbers of each producer's sequence were seen, and which are missing. Pure.

A bit for each number, in pieces that can be put aside: partitions are read one after the other, and each has only some
of a producer's numbers.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple


# Numbers of a piece, 512 bytes.
_PIECE_BITS = 12
_PIECE_NUMBERS = 1 << _PIECE_BITS
_FULL = b"\xff" * (_PIECE_NUMBERS // 8)
# 44 MiB with what Python adds; 268 million numbers without a gap between them.
MAX_PIECES = 65_536
# Backends times epochs. Headers come from outside: more of them are not judged.
MAX_STREAMS = 10_000
_MAX_NUMBER = 2**63 - 1
# An epoch is a long, too.
_MAX_EPOCH_DIGITS = 19


# Producer and epoch as the header `origin` has them, number of the piece, its bits.
Piece = tuple[bytes, int, bytes]


class Hole(NamedTuple):
    """Numbers that no record has, from `first` to `last`."""

    producer: str
    epoch: int
    first: int
    last: int

    @property
    def numbers(self) -> int:
        """How many."""
        return self.last - self.first + 1


@dataclass(slots=True)
class _Stream:
    """Numbers of one producer and epoch; `highest` by the time of their records, in `Sequences.bucket_ms`."""

    pieces: dict[int, bytearray] = field(default_factory=dict)
    highest: dict[int, int] = field(default_factory=dict)
    settled: int = 0

    def floor(self, bucket: int) -> int:
        """Highest number up to the first records that are not older than the bucket; 0 without any."""
        first = min((each for each in self.highest if each >= bucket), default=bucket)
        return max((number for each, number in self.highest.items() if each <= first), default=0)


class Sequences:
    """Numbers as their records are read, in any order.

    A number is missed only below one whose record is older than `settled_ms`: partitions are written side by side, and
    a lower number may reach its own a little later. `bucket_ms` is how exactly the end of what was deleted is known.
    """

    def __init__(self, settled_ms: int, bucket_ms: int) -> None:
        self.unnumbered = 0
        self.unjudged = 0
        self._settled_ms = settled_ms
        self._bucket_ms = bucket_ms
        self._streams: dict[bytes, _Stream] = {}
        self._pieces = 0

    @property
    def streams(self) -> int:
        """Producers times their epochs."""
        return len(self._streams)

    @property
    def full(self) -> bool:
        """Whether the pieces must be put aside before more is added."""
        return self._pieces >= MAX_PIECES

    def add(self, origin: bytes | None, appended_ms: int) -> None:
        """See a record with this header."""
        name, _, digits = (origin or b"").rpartition(b"/")
        try:
            number = int(digits)
        except ValueError:
            number = 0
        stream = self._streams.get(name)
        if not 0 < number <= _MAX_NUMBER or (stream is None and not _has_epoch(name)):
            self.unnumbered += 1
            return
        if stream is None:
            if len(self._streams) >= MAX_STREAMS:
                self.unjudged += 1
                return
            stream = self._streams[name] = _Stream()
        bits = stream.pieces.get(number >> _PIECE_BITS)
        if bits is None:
            bits = stream.pieces[number >> _PIECE_BITS] = bytearray(len(_FULL))
            self._pieces += 1
        bits[(number & _PIECE_NUMBERS - 1) >> 3] |= 1 << (number & 7)
        if appended_ms < self._settled_ms and number > stream.settled:
            stream.settled = number
        bucket = appended_ms // self._bucket_ms
        if number > stream.highest.get(bucket, 0):
            stream.highest[bucket] = number

    def take_pieces(self) -> Iterator[Piece]:
        """Give the pieces away. A piece may come several times."""
        for name, stream in self._streams.items():
            for number, bits in stream.pieces.items():
                yield name, number, bytes(bits)
            stream.pieces = {}
        self._pieces = 0

    def holes(self, pieces: Iterable[Piece], cut_ms: int | None) -> Iterator[Hole]:
        """Numbers that are missing, from all `pieces` that were given away, sorted.

        Records older than `cut_ms` may have been deleted by age, None: none was.
        """
        for name, found in groupby(pieces, key=itemgetter(0)):
            stream = self._streams[name]
            producer, _, epoch = name.rpartition(b"/")
            floor = 0 if cut_ms is None else stream.floor(cut_ms // self._bucket_ms)
            for first, last in _missing(_runs(found), floor, stream.settled):
                yield Hole(producer.decode("utf-8", "backslashreplace"), int(epoch), first, last)


def _has_epoch(name: bytes) -> bool:
    epoch = name.rpartition(b"/")[2]
    return epoch.isdigit() and len(epoch) <= _MAX_EPOCH_DIGITS


def _missing(runs: Iterable[tuple[int, int]], above: int, below: int) -> Iterator[tuple[int, int]]:
    """What is between the runs, and above and below these numbers."""
    previous = None
    for first, last in runs:
        if previous is not None:
            start, end = max(previous, above) + 1, min(first, below) - 1
            if start <= end:
                yield start, end
        previous = last


def _runs(pieces: Iterable[Piece]) -> Iterator[tuple[int, int]]:
    """Numbers that are there, as first and last of each run; one run may come as several that touch."""
    for number, copies in groupby(pieces, key=itemgetter(1)):
        at = number << _PIECE_BITS
        bits = 0
        for _, _, copy in copies:
            bits |= int.from_bytes(copy, "little")
        while bits:
            zeros = (bits & -bits).bit_length() - 1
            bits >>= zeros
            ones = (~bits & (bits + 1)).bit_length() - 1
            bits >>= ones
            yield at + zeros, at + zeros + ones - 1
            at += zeros + ones
