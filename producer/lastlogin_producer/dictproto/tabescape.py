"""How Dovecot quotes a field of a line (src/lib/strescape.c, str_tabescape and str_tabunescape)."""

import re


_MEANING = {b"0": b"\x00", b"1": b"\x01", b"t": b"\t", b"r": b"\r", b"n": b"\n"}
_QUOTED = {meaning: b"\x01" + letter for letter, meaning in _MEANING.items()}

# A lone \x01 at the end matches too, and vanishes.
_ESCAPE = re.compile(rb"\x01(.?)", re.DOTALL)
_SPECIAL = re.compile(rb"[\x00\x01\t\r\n]")


def unescape(field: bytes) -> bytes:
    """Undo the quoting of one field, as leniently as Dovecot: an unknown letter stands for itself. Split first."""
    if b"\x01" not in field:
        return field
    return _ESCAPE.sub(lambda match: _MEANING.get(match[1], match[1]), field)


def escape(field: bytes) -> bytes:
    """Quote one field."""
    return _SPECIAL.sub(lambda match: _QUOTED[match[0]], field)
