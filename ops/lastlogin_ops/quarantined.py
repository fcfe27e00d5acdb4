"""Writes that a producer could store and not understand, and the logins that they are by other rules. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, ClassVar, TypeAlias

from lastlogin_ops.replaying import Message, Passed, Unfit
from lastlogin_ops.set_aside import Found, as_json, as_text, read
from lastlogin_ops.tailing import Record
from lastlogin_schemas.codec import decode_raw_write, encode_login_event
from lastlogin_schemas.errors import Undecodable
from lastlogin_schemas.event import LoginEvent, RawWrite
from lastlogin_schemas.headers import message_headers
from lastlogin_schemas.schema import Schema
from lastlogin_service.moments import at_ms, at_us


# In the place of a reason, for a record that is no sound RawWrite.
UNDECODABLE = "undecodable"

Interpret: TypeAlias = Callable[[RawWrite], LoginEvent | RawWrite | None]
"""A write by the producer's rules: a login, what still goes to the quarantine, or None for what a rule drops."""


@dataclass(frozen=True, slots=True)
class Quarantined(Found):
    """One record of the quarantine topic."""

    message: RawWrite | Undecodable

    own_width: ClassVar[int] = 8

    @property
    def reason(self) -> str:
        """Why it was set aside."""
        return UNDECODABLE if isinstance(self.message, Undecodable) else self.message.reason

    @property
    def detail(self) -> str:
        """The same in a sentence."""
        return str(self.message) if isinstance(self.message, Undecodable) else self.message.detail

    def _own_column(self) -> str:
        return "" if isinstance(self.message, Undecodable) else self.message.dict_name

    def _time(self, zone: tzinfo | None) -> str:
        if isinstance(self.message, Undecodable):
            return at_ms(self.record.timestamp, zone)
        return at_us(self.message.received_at_us, zone)

    def _told(self) -> dict[str, Any]:
        write = self.message
        if isinstance(write, Undecodable):
            return {"undecodable": write.reason}
        return {
            "dict_name": write.dict_name,
            "received_at_us": write.received_at_us,
            "epoch": write.epoch,
            "sequence": write.sequence,
        }

    def _contents(self) -> dict[str, Any]:
        write = self.message
        if isinstance(write, Undecodable):
            return {"record_key": as_json(self.record.key), "record_value": as_json(self.record.value)}
        entries = [{"key": as_json(key), "value": as_json(value)} for key, value in write.entries]
        return {"user": as_json(write.user), "entries": entries}

    def _rows(self, zone: tzinfo | None) -> Iterable[tuple[str, str]]:
        write = self.message
        if isinstance(write, Undecodable):
            return [("key", as_text(self.record.key)), ("value", as_text(self.record.value))]
        rows = [("received", self._time(zone)), ("dict", write.dict_name or "-"), ("user", as_text(write.user))]
        for key, value in write.entries:
            rows += [("key", as_text(key)), ("value", as_text(value))]
        return rows


def quarantined(record: Record, schema_ids: Mapping[int, Schema]) -> Quarantined:
    """Read one record. Never raises. `schema_ids` names the schema of each registry id (Confluent framing)."""
    return Quarantined(record, *read(record, schema_ids, decode_raw_write))


def as_login(found: Quarantined, interpret: Interpret, framing: bytes) -> Message | Unfit | Passed:
    """Read a write by the rules of today: the message that its producer would have published, `origin` of the write."""
    write = found.message
    if isinstance(write, Undecodable):
        return Unfit(write.reason, write.detail)
    now = interpret(write)
    if now is None:
        return Passed("dropped by a rule")
    if isinstance(now, RawWrite):
        return Unfit(now.reason, now.detail)
    event = now._replace(backend=write.backend, epoch=write.epoch, sequence=write.sequence)
    body, key = encode_login_event(event), event.user.encode()
    return Message(key, framing + body, message_headers(body, event.backend, event.epoch, event.sequence), key)
