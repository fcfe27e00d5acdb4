"""What a field means that Dovecot has quoted (src/lib/strescape.c, str_tabunescape)."""

import re


_MEANING = {b"0": b"\x00", b"1": b"\x01", b"t": b"\t", b"r": b"\r", b"n": b"\n"}

# A lone \x01 at the end matches too, and vanishes.
_ESCAPE = re.compile(rb"\x01(.?)", re.DOTALL)


def unescape(field: bytes) -> bytes:
    """Undo the quoting of one field, as leniently as Dovecot: an unknown letter stands for itself. Split first."""
    if b"\x01" not in field:
        return field
    return _ESCAPE.sub(lambda match: _MEANING.get(match[1], match[1]), field)
