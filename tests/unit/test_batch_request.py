"""A batch on the wire: the bytes that the driver would make of the same statements and values."""

import logging
import struct
from io import BytesIO
from types import SimpleNamespace

import pytest
from cassandra import ConsistencyLevel, InvalidRequest
from cassandra.protocol import BatchMessage, ErrorMessage, InvalidRequestException, ProtocolHandler, QueryMessage
from cassandra.query import BatchType

from lastlogin_consumer.batch_request import (
    BatchHandler,
    ExpiringRowFormat,
    PackedBatch,
    RowFormat,
    StatementsForgotten,
)
from lastlogin_consumer.decode import Login
from lastlogin_schemas.table import MAX_TTL_S
from tests.support.logins import AT_US


ID = bytes(range(16))
PREPARED = SimpleNamespace(query_id=ID)


def login(user: str, address: bytes = b"") -> Login:
    """A login."""
    return Login(user, "imap", AT_US + 7, address, checked=True, offset=0)


def encoded(handler: type[ProtocolHandler], message: object, version: int) -> bytes:
    """The frame of a request, as a connection asks for it."""
    frame: bytes = handler.encode_message(message, 5, version, compressor=None, allow_beta_protocol_version=False)
    return frame


def request(queries: object) -> BatchMessage:
    """What the driver makes of a batch statement."""
    message = BatchMessage(BatchType.UNLOGGED, queries, ConsistencyLevel.LOCAL_QUORUM)
    message.tracing = False
    return message


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("with_address", [True, False])
def test_the_frame_is_the_drivers(version: int, *, with_address: bool) -> None:
    """User, time, address and write time of each row, in both versions of the protocol."""
    logins = [login("a@example.org", b"\xc0\0\2\1"), login("é" * 200), login("b", bytes(16))]
    form = RowFormat(PREPARED, address=with_address)
    batch = PackedBatch([form.pack(each) for each in logins], b"a@example.org", "statsdb")
    drivers = [
        (
            True,
            ID,
            [
                each.user.encode(),
                struct.pack(">q", each.login_at_us // 1000),
                *([each.address] if with_address else []),
                struct.pack(">q", each.login_at_us),
            ],
        )
        for each in logins
    ]

    ours = encoded(BatchHandler, request(batch._statements_and_parameters), version)

    assert encoded(ProtocolHandler, request(drivers), version) == ours


@pytest.mark.parametrize("with_address", [True, False])
def test_a_row_of_a_service(*, with_address: bool) -> None:
    """Where rows have a column for the service its name is the first value, and one more is counted."""
    address = b"\xc0\0\2\1"
    plain = RowFormat(PREPARED, address=with_address).pack(login("a", address))
    row = RowFormat(PREPARED, address=with_address, service="imap").pack(login("a", address))
    head = 3 + len(ID)

    assert plain[:head] == row[:head]
    assert struct.pack(">H", 4 + with_address) + struct.pack(">i", 4) + b"imap" + plain[head + 2 :] == row[head:]


@pytest.mark.parametrize(
    ("ttl_s", "now_s", "left_s"),
    [
        (100, AT_US // 1_000_000 + 30.9, 70),
        (100, AT_US // 1_000_000 + 500, 1),
        (MAX_TTL_S, AT_US // 1_000_000 - 60, MAX_TTL_S),
    ],
)
def test_a_row_that_is_forgotten(ttl_s: int, now_s: float, left_s: int) -> None:
    """It has the seconds that are left since the login, one at least, before the write time."""
    plain = RowFormat(PREPARED, address=True, service="imap", expires=True).pack(login("a", b"\xc0\0\2\1"))
    form = ExpiringRowFormat(PREPARED, ttl_s, address=True, service="imap", wall=lambda: now_s)

    assert plain[:-12] + struct.pack(">ii", 4, left_s) + plain[-12:] == form.pack(login("a", b"\xc0\0\2\1"))
    assert struct.pack(">H", 6) == plain[3 + len(ID) : 5 + len(ID)]


def test_other_requests_are_the_drivers() -> None:
    """Only batches are framed here."""
    message = QueryMessage("SELECT 1", ConsistencyLevel.ONE)

    assert encoded(ProtocolHandler, message, 5) == encoded(BatchHandler, message, 5)


def test_a_batch_is_sent_to_the_coordinator_of_its_first_row() -> None:
    """It carries the key and keyspace by which the driver chooses, and may be repeated."""
    batch = PackedBatch([b""], b"user", "statsdb")

    assert (b"user", "statsdb", True, BatchType.UNLOGGED) == (
        batch.routing_key,
        batch.keyspace,
        batch.is_idempotent,
        batch.batch_type,
    )


def _error(code: int, rest: bytes) -> object:
    words = b"oops"
    body = struct.pack(">iH", code, len(words)) + words + rest
    return BatchHandler.decode_message(5, {}, 0, 0, ErrorMessage.opcode, body, None, None)


def test_a_forgotten_statement_is_an_error() -> None:
    """The driver would prepare and repeat by itself; an invalid request stays what it is."""
    forgotten = _error(0x2500, struct.pack(">H", len(ID)) + ID)
    invalid = _error(0x2200, b"")

    assert isinstance(forgotten.to_exception(), StatementsForgotten)  # type: ignore[attr-defined]
    assert type(invalid) is InvalidRequestException
    assert type(invalid.to_exception()) is InvalidRequest


def test_what_cassandra_says_to_each_batch_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """More than ten partitions in a batch are meant; other warnings are passed on."""
    warnings = ["Unlogged batch covering 50 partitions detected against table [statsdb.dovecot_stats].", "too large"]
    body = BytesIO()
    body.write(struct.pack(">H", len(warnings)))
    for each in warnings:
        body.write(struct.pack(">H", len(each)) + each.encode())
    body.write(struct.pack(">i", 1))
    with caplog.at_level(logging.WARNING):
        BatchHandler.decode_message(5, {}, 0, 0x08, 0x08, body.getvalue(), None, None)

    assert ["Server warning: too large"] == [record.getMessage() for record in caplog.records]
