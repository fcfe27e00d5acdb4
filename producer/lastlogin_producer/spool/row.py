"""A message as the spool keeps it: its Avro body, what kind of message it is, and a checksum over both."""

from enum import IntEnum
from typing import NamedTuple

from crc32c import crc32c

from lastlogin_schemas.codec import encode_login_event, encode_raw_write
from lastlogin_schemas.event import LoginEvent, RawWrite


class Kind(IntEnum):
    """Which schema a body was written with; the value is stored, so it never changes."""

    LOGIN_EVENT = 1
    RAW_WRITE = 2


class Row(NamedTuple):
    """An undelivered message. A tuple, because one is made for each event on its way to Kafka."""

    sequence: int
    kind: int
    body: bytes


# Both schemas end in `epoch` and `sequence`, and Avro writes a zero as one zero byte.
_UNNUMBERED = b"\x00\x00"
_KIND_BYTES: dict[int, bytes] = {kind: bytes([kind]) for kind in Kind}


def unnumbered_body(message: LoginEvent | RawWrite) -> tuple[Kind, bytes]:
    """Kind of `message`, and its Avro body without epoch and sequence, which must still be 0.

    Encoding once and appending the numbers later costs a third of copying the message with its numbers filled
    in. Raises whatever the encoder raises for values that do not fit the schema, and ValueError for a message
    that is numbered already.
    """
    if isinstance(message, LoginEvent):
        kind, body = Kind.LOGIN_EVENT, encode_login_event(message)
    else:
        kind, body = Kind.RAW_WRITE, encode_raw_write(message)
    if message.epoch or message.sequence:
        raise ValueError("the spool gives out epoch and sequence; a message must come without them")
    return kind, body.removesuffix(_UNNUMBERED)


def checksum(kind: int, body: bytes) -> int:
    """CRC-32C of the body, continued over the kind: nothing that is read back is left uncovered.

    The sequence is inside the body.
    """
    return crc32c(_KIND_BYTES.get(kind, b""), crc32c(body))
