"""A row of the spool as a Kafka record."""

from collections.abc import Mapping

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

    def key(self, row: Row) -> bytes:
        """Record key: the user."""
        return message_key(row.body)

    def value(self, row: Row) -> bytes:
        """Record value: the framed body."""
        return self._prefixes[row.kind] + row.body

    def headers(self, row: Row) -> list[tuple[str, bytes]]:
        """Record headers: checksum and origin. A salvaged row is of an older epoch, which only its body tells."""
        if row.sequence >= 0:
            return message_headers(row.body, self._backend, self._epoch, row.sequence)
        message = decoded(row)
        return message_headers(row.body, message.backend, message.epoch, message.sequence)


def decoded(row: Row) -> LoginEvent | RawWrite:
    """The message of a row."""
    if row.kind == Kind.LOGIN_EVENT:
        return decode_login_event(row.body, LOGIN_EVENT)
    return decode_raw_write(row.body, RAW_WRITE)
