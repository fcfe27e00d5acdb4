"""What the table needs of a login, read without the rest: a third of the cost of reading all fields.

For bodies that came with their checksum, so that nothing need be read to find out whether it is damaged. They
begin with user, service, login_at, login_at_us and remote_ip; lengths below 64 and today's times have a fixed number
of bytes (Avro 1.12, "binary encoding": zigzag, seven bits a byte, the lowest first). Whatever is not of that kind is
for `codec.decode_login_event`; tests hold the two against each other.
"""

from functools import lru_cache
from typing import Final

from lastlogin_schemas.event import MAX_LOGIN_AT_US, MIN_LOGIN_AT_US


# User, service, login_at_us, remote_ip as text.
Fields = tuple[bytes, bytes, int, bytes | None]

# Set in a length's first byte when it is negative, or has a second one.
_NOT_SHORT: Final = 0x81
# Bytes of a time in milliseconds until 2039 and in microseconds until 3111; all but the last one are continued.
_MS_BYTES: Final = 6
_US_BYTES: Final = 8
# The lowest bytes of a time in microseconds, worth two seconds; the others come again.
_LOW_BYTES: Final = 3
_CONTINUED: Final = 0x80
_NO_ADDRESS: Final = 0
_ADDRESS: Final = 2


def login_fields(body: bytes) -> Fields | None:
    """User, service, microseconds since 1970 and address; None when it takes more to read them, or to refuse them."""
    try:
        size = body[0]
        end = 1 + (size >> 1)
        user = body[1:end]
        service_size = body[end]
        at = end + 1 + (service_size >> 1)
        service = body[end + 1 : at]
        at_us = at + _MS_BYTES
        low, middle, high = body[at_us], body[at_us + 1], body[at_us + 2]
        at = at_us + _US_BYTES
        rest = _rest(body[at_us + _LOW_BYTES : at])
        if (
            (size | service_size) & _NOT_SHORT
            or body[at_us - 1] >= _CONTINUED
            or not low & middle & high & body[at_us - 2] & _CONTINUED
            or rest is None
        ):
            return None
        zigzag = low & 0x7F | (middle & 0x7F) << 7 | (high & 0x7F) << 14 | rest
        login_at_us = zigzag >> 1
        branch = body[at]
        if branch == _NO_ADDRESS:
            address = None
        else:
            size = body[at + 1]
            address = body[at + 2 : at + 2 + (size >> 1)]
            if branch != _ADDRESS or size & _NOT_SHORT or len(address) != size >> 1:
                return None
    except IndexError:
        return None
    if zigzag & 1 or not MIN_LOGIN_AT_US <= login_at_us < MAX_LOGIN_AT_US or not user or not service or 0 in user:
        return None
    return user, service, login_at_us, address


@lru_cache(64)
def _rest(data: bytes) -> int | None:
    """What these bytes, the last ones of a time in microseconds, are worth."""
    number = 0
    for place, byte in enumerate(data, _LOW_BYTES):
        if (byte < _CONTINUED) != (place == _US_BYTES - 1):
            return None
        number |= (byte & 0x7F) << 7 * place
    return number if len(data) == _US_BYTES - _LOW_BYTES else None
