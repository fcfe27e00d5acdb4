"""Logins as events, as Kafka values and as records."""

from collections.abc import Sequence
from typing import Any

from aiokafka.structs import ConsumerRecord

from lastlogin_schemas import codec, framing, headers
from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.schema import LOGIN_EVENT


# In the past on every machine, for a login ahead of its clock would be set aside: 2023-11-14T22:13:20.161Z.
AT_US = 1_700_000_000_161_000
LOGIN = LoginEvent("test1", "imap", AT_US, "192.0.2.1", backend="mail1", epoch=1, sequence=1)


def login(user: str = "test1", at_us: int = AT_US, *, service: str = "imap", ip: str | None = None) -> LoginEvent:
    """One login; the rest of the event does not matter to the consumer."""
    return LOGIN._replace(user=user, service=service, login_at_us=at_us, remote_ip=ip)


def message(event: LoginEvent) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Value and headers of an event, as the producer publishes it."""
    body = codec.encode_login_event(event)
    return framing.prefix(LOGIN_EVENT) + body, headers.message_headers(body, event.backend, event.epoch, event.sequence)


def record(
    value: bytes | None,
    record_headers: Sequence[tuple[str, Any]] = (),
    *,
    key: bytes | None = b"test1",
    offset: int = 0,
    partition: int = 0,
    appended_ms: int = AT_US // 1000,
) -> ConsumerRecord[bytes, bytes]:
    """One record of the events topic."""
    size = len(value) if value is not None else -1
    return ConsumerRecord(
        "events", partition, offset, appended_ms, 1, key, value, None, len(key or b""), size, tuple(record_headers)
    )


def event_record(event: LoginEvent, **where: Any) -> ConsumerRecord[bytes, bytes]:
    """Record of an event."""
    value, record_headers = message(event)
    return record(value, record_headers, key=event.user.encode(), **where)
