"""Rows of the spool as Kafka records."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from lastlogin_producer.spool.row import Kind, Row
from lastlogin_schemas.codec import decode_login_event, decode_raw_write, message_key
from lastlogin_schemas.event import LoginEvent, RawWrite
from lastlogin_schemas.framing import prefix
from lastlogin_schemas.headers import message_headers
from lastlogin_schemas.schema import LOGIN_EVENT, RAW_WRITE


class RecordForm:
    """How the rows of one spool look on the wire.

    `schema_ids` holds the registry ids that are pinned, by schema name; those messages are framed as Confluent
    does, the others as Avro single objects.
    """

    def __init__(self, backend: str, epoch: int, schema_ids: Mapping[str, int]) -> None:
        self._backend = backend
        self._epoch = epoch
        self._prefixes = {
            int(kind): prefix(schema, schema_ids.get(schema.name))
            for kind, schema in ((Kind.LOGIN_EVENT, LOGIN_EVENT), (Kind.RAW_WRITE, RAW_WRITE))
        }

    def fill(self, batch: Any, waiting: deque[Row], now_ms: int) -> list[Row]:
        """Move rows from the head of `waiting` to aiokafka's batch while they fit; the first one always does.

        A record has the user as key, the framed body as value, and checksum and origin as headers.
        """
        append, prefixes, backend, epoch = batch.append, self._prefixes, self._backend, self._epoch
        count = 0
        for row in waiting:
            sequence, kind, body = row
            headers = message_headers(body, backend, epoch, sequence) if sequence >= 0 else _salvaged_headers(row)
            value = prefixes[kind] + body
            if append(timestamp=now_ms, key=message_key(body), value=value, headers=headers) is None:
                break
            count += 1
        return [waiting.popleft() for _ in range(count)]


def _salvaged_headers(row: Row) -> list[tuple[str, bytes]]:
    """Headers of a row that was salvaged: it is of an older epoch, which only its body tells."""
    message = decoded(row)
    return message_headers(row.body, message.backend, message.epoch, message.sequence)


def decoded(row: Row) -> LoginEvent | RawWrite:
    """The message of a row."""
    if row.kind == Kind.LOGIN_EVENT:
        return decode_login_event(row.body, LOGIN_EVENT)
    return decode_raw_write(row.body, RAW_WRITE)
