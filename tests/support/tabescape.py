"""How Dovecot quotes a field of a line (src/lib/strescape.c, str_tabescape)."""

import re


_QUOTED = {b"\x00": b"\x010", b"\x01": b"\x011", b"\t": b"\x01t", b"\r": b"\x01r", b"\n": b"\x01n"}
_SPECIAL = re.compile(rb"[\x00\x01\t\r\n]")


def escape(field: bytes) -> bytes:
    """Quote one field."""
    return _SPECIAL.sub(lambda match: _QUOTED[match[0]], field)
