"""What a record says: a login to be written, or poison to be set aside. Pure."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol, get_args

from lastlogin_schemas.address import column_bytes, column_text
from lastlogin_schemas.codec import decode_login_event, readable_event_id
from lastlogin_schemas.errors import Undecodable, UndecodableReason
from lastlogin_schemas.framing import split
from lastlogin_schemas.headers import verify_checksum
from lastlogin_schemas.login_fields import login_fields
from lastlogin_schemas.schema import LOGIN_EVENT, Schema
from lastlogin_schemas.table import AddressType


# Beside records that cannot be read: a login from the future, one of a service without columns where these are wanted,
# and a row that Cassandra does not take.
PoisonReason = UndecodableReason | Literal["future", "unmapped", "refused"]
POISON_REASONS: tuple[PoisonReason, ...] = (*get_args(UndecodableReason), "future", "unmapped", "refused")


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

    `address` is the value of its column, no bytes for "no address". `checked` is False when the record
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
    append time, which no mail host's clock can touch. Columns of addresses have the type `address_type`.
    """

    def __init__(
        self, schema_ids: Mapping[int, Schema], future_limit_s: float, address_type: AddressType = "inet"
    ) -> None:
        self._schema_ids = schema_ids
        self._column, self._column_bytes = _COLUMNS[address_type]
        self._future_limit_us = int(future_limit_s * 1_000_000)

    def decode(self, record: Record) -> Login | Poison:
        """Read one record. Never raises: what is not a sound `LoginEvent` is `Poison`."""
        try:
            return self._login(record)
        except Undecodable as error:
            return Poison(record, error.reason, error.detail)

    def event_id(self, record: Record) -> str | None:
        """What a log may call the event of a record, where that can be read."""
        try:
            schema, body = split(record.value or b"", self._schema_ids)
        except Undecodable:
            return None
        return readable_event_id(body, schema)

    def _login(self, record: Record) -> Login | Poison:
        if record.value is None:
            raise Undecodable("null_value", "the record has no value")
        schema, body = split(record.value, self._schema_ids)
        checked = verify_checksum(body, record.headers)
        if checked and schema is LOGIN_EVENT and (fields := login_fields(body)) is not None:
            user, service, login_at_us, ip = fields
            try:
                found = Login(user.decode(), _text(service), login_at_us, self._column(ip), checked, record.offset)
            except ValueError:
                # The long way has words for what is wrong with it.
                pass
            else:
                return self._judged(found, record)
        event = decode_login_event(body, schema)
        try:
            address = self._column_bytes(event.remote_ip)
        except ValueError:
            raise Undecodable("out_of_range", "remote_ip is not an address") from None
        login = Login(event.user, event.service, event.login_at_us, address, checked, record.offset)
        return self._judged(login, record)

    def _judged(self, login: Login, record: Record) -> Login | Poison:
        ahead_us = login.login_at_us - record.timestamp * 1000
        if ahead_us > self._future_limit_us:
            return Poison(record, "future", f"the login is {ahead_us // 1_000_000} s ahead of Kafka's append time")
        return login


class MappedDecoder(Decoder):
    """Also takes a login for poison whose service is not one of `services()`."""

    def __init__(
        self,
        schema_ids: Mapping[int, Schema],
        future_limit_s: float,
        address_type: AddressType,
        services: Callable[[], Container[str]],
    ) -> None:
        super().__init__(schema_ids, future_limit_s, address_type)
        self._services = services

    def _judged(self, login: Login, record: Record) -> Login | Poison:
        if login.service not in self._services():
            return Poison(record, "unmapped", f"the table has no column for the service {login.service}")
        return super()._judged(login, record)


# Services are few, and the addresses of webmail hosts and phones come again; 1 MiB when full.
@lru_cache(4_096)
def _text(data: bytes) -> str:
    return data.decode()


def _of_bytes(column: Callable[[str | None], bytes]) -> Callable[[bytes | None], bytes]:
    return lru_cache(4_096)(lambda address: b"" if address is None else column(address.decode()))


# An address as events have it, bytes or text, to the value of its column.
_COLUMNS = {"inet": (_of_bytes(column_bytes), column_bytes), "text": (_of_bytes(column_text), column_text)}
