"""What a record of the events topic says of the table, and what its header says of its producer. Pure."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from lastlogin_ops.audit.verdicts import PENDING, REFUSED
from lastlogin_schemas.address import column_bytes, column_text
from lastlogin_schemas.codec import decode_login_event
from lastlogin_schemas.errors import Undecodable
from lastlogin_schemas.framing import split
from lastlogin_schemas.headers import verify_checksum
from lastlogin_schemas.login_fields import login_fields
from lastlogin_schemas.schema import LOGIN_EVENT, Schema
from lastlogin_schemas.table import AddressType


# An address as events have it to the value of its column, by the column's type.
COLUMNS: Mapping[AddressType, Callable[[str | None], bytes]] = {"inet": column_bytes, "text": column_text}
_MAX_OFFSET = 2**63 - 1


class Login(NamedTuple):
    """What the table should show if there is no newer one; `address` is the column's value, no bytes for none."""

    user: bytes
    service: bytes
    login_at_us: int
    address: bytes


def login_in(
    value: bytes | None,
    headers: Sequence[tuple[str, Any]],
    schema_ids: Mapping[int, Schema],
    column: Callable[[str | None], bytes] = column_bytes,
) -> Login:
    """Read a record as the consumer must; `column` is one of `COLUMNS`. Raises `Undecodable`."""
    if value is None:
        raise Undecodable("null_value", "the record has no value")
    schema, body = split(value, schema_ids)
    if verify_checksum(body, headers) and schema is LOGIN_EVENT and (fields := login_fields(body)) is not None:
        user, service, login_at_us, address = fields
        try:
            user.decode()
            return Login(user, _utf8(service), login_at_us, _column(column, address))
        except ValueError:
            # The long way has words for what is wrong with it.
            pass
    event = decode_login_event(body, schema)
    try:
        shown = column(event.remote_ip)
    except ValueError:
        raise Undecodable("out_of_range", "remote_ip is not an address") from None
    return Login(event.user.encode(), event.service.encode(), event.login_at_us, shown)


def letter_in(headers: Sequence[tuple[str, Any]], topic: str) -> tuple[int, int, int] | None:
    """Partition and offset of the record of `topic` that a dead letter is about, and what that makes of its login.

    None when it is about another topic.
    """
    # Of two headers of one name the last counts.
    told = dict(headers)
    if told.get("topic") != topic.encode():
        return None
    try:
        partition, offset = int(told["partition"]), int(told["offset"])
    except (KeyError, TypeError, ValueError):
        return None
    if not (0 <= partition <= _MAX_OFFSET and 0 <= offset <= _MAX_OFFSET):
        return None
    return partition, offset, REFUSED if told.get("reason") == b"refused" else PENDING


# Services are few, and the addresses of webmail hosts and phones come again.
@lru_cache(4_096)
def _utf8(service: bytes) -> bytes:
    service.decode()
    return service


@lru_cache(4_096)
def _column(column: Callable[[str | None], bytes], address: bytes | None) -> bytes:
    return b"" if address is None else column(address.decode())
