"""What a record says: a login to be written, or poison to be set aside. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol, get_args

from lastlogin_schemas.address import column_bytes
from lastlogin_schemas.codec import decode_login_event
from lastlogin_schemas.errors import Undecodable, UndecodableReason
from lastlogin_schemas.framing import split
from lastlogin_schemas.headers import verify_checksum
from lastlogin_schemas.login_fields import login_fields
from lastlogin_schemas.schema import LOGIN_EVENT, Schema


# Beside records that cannot be read: a login from the future, and a row that Cassandra does not take.
PoisonReason = UndecodableReason | Literal["future", "refused"]
POISON_REASONS: tuple[PoisonReason, ...] = (*get_args(UndecodableReason), "future", "refused")


# `timestamp_type` of a topic with message.timestamp.type=LogAppendTime.
APPEND_TIME = 1


class Record(Protocol):
    """A record as it stands in a partition; aiokafka's `ConsumerRecord` is one.

    `timestamp` is in milliseconds; it is Kafka's append time where `timestamp_type` is `APPEND_TIME`.
    Kafka allows a header without a value (None).
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, Any]]


class Login(NamedTuple):
    """What the table needs of a `LoginEvent`; a plain tuple, because one is made for each event.

    `address` is the value of the `inet` column, no bytes for "no address". `checked` is False when the record
    came without a checksum. At `offset` its record can be read again.
    """

    user: str
    service: str
    login_at_us: int
    address: bytes
    checked: bool
    offset: int


@dataclass(frozen=True, slots=True)
class Poison:
    """A record that cannot be used, and why; `detail` is a sentence without user names and addresses.

    Of a row that Cassandra refuses it has the server's words, without the key.
    """

    record: Record
    reason: PoisonReason
    detail: str


class Decoder:
    """Reads records of the events topic.

    `schema_ids` names the schema of each registry id (Confluent framing). A login more than `future_limit_s`
    after its record's append time is poison: written, it would win for ever. The record's time must be Kafka's
    append time, which no mail host's clock can touch.
    """

    def __init__(self, schema_ids: Mapping[int, Schema], future_limit_s: float) -> None:
        self._schema_ids = schema_ids
        self._future_limit_us = int(future_limit_s * 1_000_000)

    def decode(self, record: Record) -> Login | Poison:
        """Read one record. Never raises: what is not a sound `LoginEvent` is `Poison`."""
        try:
            return self._login(record)
        except Undecodable as error:
            return Poison(record, error.reason, error.detail)

    def _login(self, record: Record) -> Login | Poison:
        if record.value is None:
            raise Undecodable("null_value", "the record has no value")
        schema, body = split(record.value, self._schema_ids)
        checked = verify_checksum(body, record.headers)
        if checked and schema is LOGIN_EVENT and (fields := login_fields(body)) is not None:
            user, service, login_at_us, ip = fields
            try:
                found = Login(user.decode(), _text(service), login_at_us, _column(ip), checked, record.offset)
            except ValueError:
                # The long way has words for what is wrong with it.
                pass
            else:
                return self._judged(found, record)
        event = decode_login_event(body, schema)
        try:
            address = column_bytes(event.remote_ip)
        except ValueError:
            raise Undecodable("out_of_range", "remote_ip is not an address") from None
        login = Login(event.user, event.service, event.login_at_us, address, checked, record.offset)
        return self._judged(login, record)

    def _judged(self, login: Login, record: Record) -> Login | Poison:
        ahead_us = login.login_at_us - record.timestamp * 1000
        if ahead_us > self._future_limit_us:
            return Poison(record, "future", f"the login is {ahead_us // 1_000_000} s ahead of Kafka's append time")
        return login


# Services are few, and the addresses of webmail hosts and phones come again; 1 MiB when full.
@lru_cache(4_096)
def _text(data: bytes) -> str:
    return data.decode()


@lru_cache(4_096)
def _column(address: bytes | None) -> bytes:
    return b"" if address is None else column_bytes(address.decode())
