"""Avro bodies: messages to bytes and back. Framing and headers are elsewhere."""

import re
from io import BytesIO
from typing import Any, cast

from fastavro import schemaless_reader, schemaless_writer

from lastlogin_schemas.avro import frequent_text, long, text, text_map
from lastlogin_schemas.errors import Undecodable
from lastlogin_schemas.event import (
    MAX_LOGIN_AT_US,
    MAX_SERVICE_BYTES,
    MAX_USER_BYTES,
    MIN_LOGIN_AT_US,
    LoginEvent,
    RawWrite,
)
from lastlogin_schemas.schema import LOGIN_EVENT, RAW_WRITE, Schema


_EVENT_ID = re.compile("[0-9a-f]{32}")

# Branches of the union of remote_ip.
_NULL, _NOT_NULL = long(0), long(1)


def encode_login_event(event: LoginEvent) -> bytes:
    """Avro body of `event` under the newest schema, its fields in that order.

    Raises OverflowError or UnicodeEncodeError for what Avro cannot hold.
    """
    # All at once: an attribute of a named tuple takes as long as encoding a short number.
    (
        user,
        service,
        login_at_us,
        remote_ip,
        attributes,
        backend,
        dict_name,
        dict_key,
        event_id,
        received_at_us,
        epoch,
        sequence,
    ) = event
    return b"".join(
        (
            text(user),
            frequent_text(service),
            long(login_at_us // 1000),
            long(login_at_us),
            _NULL if remote_ip is None else _NOT_NULL + frequent_text(remote_ip),
            text_map(attributes),
            frequent_text(backend),
            frequent_text(dict_name),
            text(dict_key),
            text(event_id),
            long(received_at_us),
            long(epoch),
            long(sequence),
        )
    )


def encode_raw_write(raw: RawWrite) -> bytes:
    """Avro body of `raw` under the newest schema."""
    out = BytesIO()
    schemaless_writer(
        out,
        RAW_WRITE.runtime,
        {
            "user": raw.user,
            "reason": raw.reason,
            "detail": raw.detail,
            "dict_name": raw.dict_name,
            "entries": [{"key": key, "value": value} for key, value in raw.entries],
            "backend": raw.backend,
            "received_at_us": raw.received_at_us,
            "epoch": raw.epoch,
            "sequence": raw.sequence,
        },
    )
    return out.getvalue()


def decode_login_event(body: bytes, writer: Schema) -> LoginEvent:
    """Read a `LoginEvent` written under `writer`; what that schema lacks takes its default.

    Raises `Undecodable`: `unknown_schema` (a schema of another message), `malformed_avro`, `trailing_bytes`
    (half of all damaged messages show only so), or `out_of_range` (values that no producer of ours writes).
    """
    fields = _decode(body, writer, LOGIN_EVENT)
    event = LoginEvent(
        user=fields["user"],
        service=fields["service"],
        login_at_us=fields["login_at_us"],
        remote_ip=fields["remote_ip"],
        attributes=fields["attributes"],
        backend=fields["backend"],
        dict_name=fields["dict_name"],
        dict_key=fields["dict_key"],
        event_id=fields["event_id"],
        received_at_us=fields["received_at_us"],
        epoch=fields["epoch"],
        sequence=fields["sequence"],
    )
    _check_ranges(event, fields["login_at"])
    return event


def readable_event_id(body: bytes, writer: Schema) -> str | None:
    """What a log may call the event of `body`; None when it cannot be read or has none of the contract's form.

    Whoever may write to the topic could put a user's name there.
    """
    try:
        found = decode_login_event(body, writer).event_id
    except Undecodable:
        return None
    return found if _EVENT_ID.fullmatch(found) else None


def decode_raw_write(body: bytes, writer: Schema) -> RawWrite:
    """Read a `RawWrite` written under `writer`. Raises `Undecodable` as `decode_login_event` does."""
    fields = _decode(body, writer, RAW_WRITE)
    fields["entries"] = tuple((entry["key"], entry["value"]) for entry in fields["entries"])
    return RawWrite(**fields)


def message_key(body: bytes) -> bytes:
    """Kafka key of a body of either schema: the user, both schemas' first field (a length, then the bytes)."""
    length = shift = position = 0
    while True:
        byte = body[position]
        position += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the varint's continuation bit
            break
        shift += 7
    length >>= 1  # zigzag; a length is never negative
    return body[position : position + length]


def _decode(body: bytes, writer: Schema, reader: Schema) -> dict[str, Any]:
    if writer.name != reader.name:
        raise Undecodable("unknown_schema", f"a {writer.name} where a {reader.name} belongs")
    stream = BytesIO(body)
    reader_schema = None if writer is reader else reader.runtime
    try:
        fields = cast("dict[str, Any]", schemaless_reader(stream, writer.runtime, reader_schema))
    except Exception as error:  # noqa: BLE001 - fastavro raises EOFError, IndexError, UnicodeDecodeError, MemoryError, ...
        raise Undecodable("malformed_avro", f"{type(error).__name__} while reading a {reader.name}") from None
    if left := len(body) - stream.tell():
        raise Undecodable("trailing_bytes", f"{left} bytes after the {reader.name}")
    return fields


def _check_ranges(event: LoginEvent, login_at: int) -> None:
    if not 0 < len(event.user.encode()) <= MAX_USER_BYTES or "\x00" in event.user:
        raise Undecodable("out_of_range", f"user is empty, has a NUL or is longer than {MAX_USER_BYTES} bytes")
    if not 0 < len(event.service.encode()) <= MAX_SERVICE_BYTES:
        raise Undecodable("out_of_range", f"service is empty or longer than {MAX_SERVICE_BYTES} bytes")
    if not MIN_LOGIN_AT_US <= event.login_at_us < MAX_LOGIN_AT_US:
        raise Undecodable("out_of_range", "login_at_us is not between the years 2000 and 2100")
    if login_at != event.login_at_us // 1000:
        raise Undecodable("out_of_range", "login_at and login_at_us are not the same time")
