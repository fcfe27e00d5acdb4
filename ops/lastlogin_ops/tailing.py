"""What `lastlogin tail` shows: which records, and each as a line. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Protocol

from lastlogin_schemas.codec import decode_login_event
from lastlogin_schemas.errors import Undecodable
from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.framing import split
from lastlogin_schemas.headers import verify_checksum
from lastlogin_schemas.schema import Schema
from lastlogin_service.moments import at_ms, at_us, iso_ms


# Wide enough for most; longer ones push the rest of their own line only.
_SERVICE_WIDTH, _USER_WIDTH, _ADDRESS_WIDTH = 8, 32, 15


class Record(Protocol):
    """A record as it stands in a partition; `timestamp` is Kafka's append time in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events are shown; None and empty: all of them."""

    user: str | None = None
    services: frozenset[str] = frozenset()

    def takes(self, record: Record, event: LoginEvent | Undecodable) -> bool:
        """Tell whether to show it. What cannot be decoded may be of any service, and is its key's user's."""
        if isinstance(event, Undecodable):
            return self.user is None or record.key is None or record.key == self.user.encode()
        return self.user in (None, event.user) and (not self.services or event.service in self.services)


def decoded(record: Record, schema_ids: Mapping[int, Schema]) -> LoginEvent | Undecodable:
    """Read one record; what is not a sound event is returned as the reason why. Never raises.

    `schema_ids` names the schema of each registry id (Confluent framing).
    """
    if record.value is None:
        return Undecodable("null_value", "the record has no value")
    try:
        writer, body = split(record.value, schema_ids)
        verify_checksum(body, record.headers)
        return decode_login_event(body, writer)
    except Undecodable as reason:
        return reason


def text(record: Record, event: LoginEvent | Undecodable, zone: tzinfo | None = None) -> str:
    """One line for people; times in `zone`, None is the local one."""
    if isinstance(event, Undecodable):
        time = at_ms(record.timestamp, zone)
        return f"{time}  undecodable: {event}; partition {record.partition}, offset {record.offset}"
    time = at_us(event.login_at_us, zone)
    user, service, backend = (visible(each) for each in (event.user, event.service, event.backend))
    address = visible(event.remote_ip or "-")
    return (
        f"{time}  {service:<{_SERVICE_WIDTH}}  {user:<{_USER_WIDTH}}  {address:<{_ADDRESS_WIDTH}}  {backend}".rstrip()
    )


def document(record: Record, event: LoginEvent | Undecodable) -> str:
    """One JSON object on one line: where the record stands, and every field of the event or why it has none."""
    where = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "appended_at": iso_ms(record.timestamp),
        "appended_at_ms": record.timestamp,
    }
    if isinstance(event, Undecodable):
        return json.dumps(where | {"undecodable": event.reason, "detail": event.detail})
    return json.dumps(where | event._asdict())


def visible(value: str) -> str:
    """Escape what would move the cursor or recolour the terminal: names come from outside."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in value)
