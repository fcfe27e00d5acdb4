"""Avro's binary encoding of what a `LoginEvent` is made of (Avro 1.12 specification, "Binary Encoding").

A login is encoded between Dovecot's commit and its reply. fastavro takes 5 us for it, and a dictionary first; these
take 2 us. What they write is compared with fastavro in the tests.
"""

from collections.abc import Mapping
from functools import lru_cache


_ONE_BYTE = [bytes([value]) for value in range(128)]
# Lengths below 64, zigzag.
_SHORT = [bytes([length << 1]) for length in range(64)]
# Seven bits, marked as not the last ones, in two bytes.
_PAIRS = [bytes((value & 0x7F | 0x80, value >> 7 | 0x80)) for value in range(1 << 14)]
_PAIR_MASK = (1 << 14) - 1


def long(value: int) -> bytes:
    """Encode a long: zigzag, then seven bits a byte, lowest first. Raises OverflowError beyond 64 bits."""
    zigzag = value << 1 if value >= 0 else ~(value << 1)
    if zigzag > _PAIR_MASK:
        return _PAIRS[zigzag & _PAIR_MASK] + _rest(zigzag >> 14)
    return _ONE_BYTE[zigzag] if zigzag < len(_ONE_BYTE) else bytes((zigzag & 0x7F | 0x80, zigzag >> 7))


# Times, and numbers in a row, are the same but for their lowest bits: within 8 ms all times are.
@lru_cache(maxsize=256)
def _rest(value: int) -> bytes:
    if value >> 50:
        raise OverflowError("an Avro long has 64 bits")
    out = bytearray()
    while value >= 1 << 7:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value: str) -> bytes:
    """Encode a string: its length in bytes, then UTF-8. Raises UnicodeEncodeError for half a surrogate pair."""
    data = value.encode()
    try:
        return _SHORT[len(data)] + data
    except IndexError:
        return long(len(data)) + data


# For what comes again and again: names of services, of this host; addresses of webmail hosts. 1 MiB when full.
frequent_text = lru_cache(maxsize=4_096)(text)


def text_map(values: Mapping[str, str]) -> bytes:
    """Encode a map of strings: one block of pairs, if there are any, and the end."""
    if not values:
        return b"\x00"
    pairs = b"".join(text(part) for pair in values.items() for part in pair)
    return long(len(values)) + pairs + b"\x00"
