"""A batch of prepared INSERTs as the request that carries it, and the answer to it.

The driver binds and writes each value by itself, 5 us a row and more; here a row is bytes at once. The layout is
Cassandra's own: doc/native_protocol_v5.spec, 4.1.7 BATCH and 3 for its values; v4 differs in one field.
"""

import logging
from collections.abc import Callable, Sequence
from struct import Struct
from time import time
from typing import Any

from cassandra import InvalidRequest
from cassandra.protocol import BatchMessage, InvalidRequestException, PreparedQueryNotFound, ProtocolHandler
from cassandra.query import BatchStatement, BatchType, PreparedStatement

from lastlogin_consumer.decode import Login
from lastlogin_schemas.table import MAX_TTL_S


# kind (1: prepared), length of the statement's id
_STATEMENT = Struct(">BH")
_COUNT = Struct(">H")
_LENGTH = Struct(">i")
# length of the time, time in milliseconds, length of the address
_TIME = Struct(">iqi")
# the same of a time that no address follows
_TIME_ALONE = Struct(">iq")
# length of the write time, write time in microseconds
_STAMP = Struct(">iq")
_LONG = 8
# length of the TTL, TTL in seconds
_TTL = Struct(">ii")
_INT = 4
# version, flags, stream, opcode, length of the body
_HEADER = Struct(">BBhBI")
# type, how many statements
_BATCH = Struct(">BH")
# consistency level, flags (none): four bytes since v5
_TAIL = {4: Struct(">HB"), 5: Struct(">HI")}


class RowFormat:
    """How a login of one service becomes a statement of a batch; with `service` where rows have a column for it."""

    def __init__(
        self, prepared: PreparedStatement, *, address: bool, service: str | None = None, expires: bool = False
    ) -> None:
        query_id = prepared.query_id
        values = 3 + address + (service is not None) + expires
        self._head = _STATEMENT.pack(1, len(query_id)) + query_id + _COUNT.pack(values)
        if service is not None:
            name = service.encode()
            # The first value of the statement, and the same for each row.
            self._head += _LENGTH.pack(len(name)) + name
        self._address = address

    def pack(self, login: Login) -> bytes:
        """Statement and values: user, time, address (no bytes: "none", which is no null), write time."""
        user, at_us = login.user.encode(), login.login_at_us
        if self._address:
            address = login.address
            time = _TIME.pack(_LONG, at_us // 1000, len(address)) + address
        else:
            time = _TIME_ALONE.pack(_LONG, at_us // 1000)
        return b"".join((self._head, _LENGTH.pack(len(user)), user, time, _STAMP.pack(_LONG, at_us)))


class ExpiringRowFormat(RowFormat):
    """The same with the seconds until Cassandra forgets it, counted from the login: writing it again adds none."""

    def __init__(
        self,
        prepared: PreparedStatement,
        ttl_s: int,
        *,
        address: bool,
        service: str | None = None,
        wall: Callable[[], float] = time,
    ) -> None:
        super().__init__(prepared, address=address, service=service, expires=True)
        self._ttl_s = ttl_s
        self._wall = wall

    def pack(self, login: Login) -> bytes:
        """As above, with the seconds that are left, at least one, before the write time."""
        row = super().pack(login)
        left_s = login.login_at_us // 1_000_000 + self._ttl_s - int(self._wall())
        ttl = _TTL.pack(_INT, min(max(left_s, 1), MAX_TTL_S))
        return row[: -_STAMP.size] + ttl + row[-_STAMP.size :]


class PackedBatch(BatchStatement):  # type: ignore[misc] # no type information upstream
    """An unlogged batch for the coordinator of its first row."""

    def __init__(self, rows: Sequence[bytes], routing_key: bytes, keyspace: str) -> None:
        super().__init__(BatchType.UNLOGGED)
        self.is_idempotent = True
        self.keyspace = keyspace
        self.routing_key = routing_key
        self._statements_and_parameters = rows


class StatementsForgotten(InvalidRequest):  # type: ignore[misc] # no type information upstream
    """A node does not know our statements (any more)."""


class _Forgotten(InvalidRequestException):  # type: ignore[misc] # no type information upstream
    # Else it would take the place of its base class for everything that the driver reads.
    error_code = None

    def to_exception(self) -> StatementsForgotten:
        return StatementsForgotten(self)


class BatchHandler(ProtocolHandler):  # type: ignore[misc] # no type information upstream
    """The driver's way to and from the wire, for `PackedBatch`.

    It also makes a node's "unprepared" an error: the driver would prepare and execute again by itself. Nodes forget
    statements when the table is altered or made anew, and our bytes, serialized for the columns as they were,
    would then be stored in columns of any type.
    """

    @classmethod
    def encode_message(cls, msg: Any, stream_id: int, protocol_version: int, **others: Any) -> bytes:
        """Frame a request."""
        if not isinstance(msg, BatchMessage):
            encoded: bytes = super().encode_message(msg, stream_id, protocol_version, **others)
            return encoded
        rows = msg.queries
        body = b"".join(
            (
                _BATCH.pack(msg.batch_type.value, len(rows)),
                *rows,
                _TAIL[protocol_version].pack(msg.consistency_level, 0),
            )
        )
        return _HEADER.pack(protocol_version, 0, stream_id, msg.opcode, len(body)) + body

    @classmethod
    def decode_message(cls, *frame: Any) -> Any:
        """Read an answer."""
        answer = super().decode_message(*frame)
        if not isinstance(answer, PreparedQueryNotFound):
            return answer
        refusal = _Forgotten(answer.code, "statements must be prepared again", None)
        refusal.__dict__.update({name: value for name, value in vars(answer).items() if name not in vars(refusal)})
        return refusal


class _NotOfBatches(logging.Filter):
    """Holds back what Cassandra says to each batch of more than ten partitions; they have one coordinator."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "Unlogged batch covering" not in str(record.args)


logging.getLogger("cassandra.protocol").addFilter(_NotOfBatches())
