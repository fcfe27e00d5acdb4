"""Rows out of a page of a SQLite file that SQLite itself cannot make sense of.

Only leaves of tables are read, cell by cell (https://sqlite.org/fileformat2.html): whatever is wrong elsewhere, each
of them tells its rows. What comes out is only as good as its checksum.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple


PAGE_BYTES = 4_096

_TABLE_LEAF = 0x0D
_HEADER_BYTES = 8
_MAX_VARINT_BYTES = 9
# Bytes of a signed integer by its serial type; 8 and 9 are the constants 0 and 1.
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_CONSTANTS = {8: 0, 9: 1}
_FIRST_BLOB = 12
_MAX_COLUMNS = 5
# What of a payload stays in its leaf; the rest goes into a chain of overflow pages.
_MAX_LOCAL = PAGE_BYTES - 35
_MIN_LOCAL = (PAGE_BYTES - 12) * 32 // 255 - 23
_NEXT_BYTES = 4
# Twice what Kafka takes as a message.
_MAX_PAYLOAD = 2 * 1_048_576


class Found(NamedTuple):
    """A row of a table: its number, and its other columns."""

    sequence: int
    columns: tuple[int | bytes | None, ...]


class _Garbage(Exception):
    """It is no cell of ours."""


def rows_of(page: bytes, overflow: Callable[[int], bytes]) -> Iterator[Found]:
    """Every row of a leaf; none of another page. `overflow` gives the page of a number, or nothing (b"")."""
    if len(page) != PAGE_BYTES or page[0] != _TABLE_LEAF:
        return
    count = int.from_bytes(page[3:5], "big")
    for at in range(_HEADER_BYTES, min(_HEADER_BYTES + 2 * count, PAGE_BYTES - 1), 2):
        try:
            yield _cell(page, int.from_bytes(page[at : at + 2], "big"), overflow)
        except _Garbage:
            continue


def _cell(page: bytes, at: int, overflow: Callable[[int], bytes]) -> Found:
    size, at = _varint(page, at)
    sequence, at = _varint(page, at)
    if sequence >= 1 << 63:
        sequence -= 1 << 64
    if size > _MAX_PAYLOAD:
        raise _Garbage
    if size <= _MAX_LOCAL:
        payload = page[at : at + size]
    else:
        local = _MIN_LOCAL + (size - _MIN_LOCAL) % (PAGE_BYTES - _NEXT_BYTES)
        local = local if local <= _MAX_LOCAL else _MIN_LOCAL
        following = int.from_bytes(page[at + local : at + local + _NEXT_BYTES], "big")
        payload = page[at : at + local] + _chain(following, size - local, overflow)
    if len(payload) != size:
        raise _Garbage
    return Found(sequence, _columns(payload))


def _chain(number: int, size: int, overflow: Callable[[int], bytes]) -> bytes:
    parts: list[bytes] = []
    seen: set[int] = set()
    while size > 0:
        page = b"" if number in seen else overflow(number)
        if not page:
            raise _Garbage
        seen.add(number)
        number = int.from_bytes(page[:_NEXT_BYTES], "big")
        parts.append(page[_NEXT_BYTES : _NEXT_BYTES + size])
        size -= len(parts[-1])
    return b"".join(parts)


def _columns(payload: bytes) -> tuple[int | bytes | None, ...]:
    end, at = _varint(payload, 0)
    kinds: list[int] = []
    while at < end:
        kind, at = _varint(payload, at)
        kinds.append(kind)
        if len(kinds) > _MAX_COLUMNS:
            raise _Garbage
    values: list[int | bytes | None] = []
    for kind in kinds:
        if kind in _CONSTANTS:
            values.append(_CONSTANTS[kind])
        elif kind == 0:
            values.append(None)
        else:
            size = _INTEGER_BYTES.get(kind) or (kind - _FIRST_BLOB) // 2
            value = payload[at : at + size]
            if size < 0 or len(value) != size:
                raise _Garbage
            values.append(int.from_bytes(value, "big", signed=True) if kind in _INTEGER_BYTES else value)
            at += size
    return tuple(values)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Value, and where the next byte is."""
    value = 0
    for index in range(at, min(at + _MAX_VARINT_BYTES, len(data))):
        if index == at + _MAX_VARINT_BYTES - 1:
            return value << 8 | data[index], index + 1
        value = value << 7 | data[index] & 0x7F
        if not data[index] & 0x80:
            return value, index + 1
    raise _Garbage
