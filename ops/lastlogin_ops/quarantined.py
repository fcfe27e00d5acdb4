"""What `lastlogin quarantine` reads and shows: records of the quarantine topic. Pure."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from heapq import heappush, heappushpop
from typing import Any, Literal

from lastlogin_ops.tailing import Record, at_ms, iso_ms, visible
from lastlogin_schemas.codec import decode_raw_write
from lastlogin_schemas.errors import Undecodable
from lastlogin_schemas.event import RawWrite
from lastlogin_schemas.framing import split
from lastlogin_schemas.headers import ORIGIN, verify_checksum
from lastlogin_schemas.schema import Schema
from lastlogin_service.places import Place


# In the place of a reason, for a record that is no sound RawWrite.
UNDECODABLE = "undecodable"
# Reasons are an open set, and whoever may write to the topic invents them.
MAX_REASONS = 100
_OTHER_REASONS = "(others)"
# Of text from the record in a list; `show` has all of it.
_MAX_CHARACTERS = 160
_REASON_WIDTH, _BACKEND_WIDTH, _DICT_WIDTH = 12, 20, 8

Checksum = Literal["good", "none", "wrong"]


@dataclass(frozen=True, slots=True)
class Found:
    """One record of the topic; `write` is the reason why it cannot be used where it is no sound `RawWrite`.

    `origin` is the header's text, empty without one; `appended_ms` is Kafka's time, milliseconds since 1970.
    """

    place: Place
    appended_ms: int
    origin: str
    checksum: Checksum
    write: RawWrite | Undecodable

    @property
    def reason(self) -> str:
        """Why it was set aside."""
        return UNDECODABLE if isinstance(self.write, Undecodable) else self.write.reason

    @property
    def detail(self) -> str:
        """The same in a sentence."""
        return str(self.write) if isinstance(self.write, Undecodable) else self.write.detail

    @property
    def backend(self) -> str:
        """Who set it aside; of what cannot be decoded, as the header says."""
        return self.origin.split("/")[0] if isinstance(self.write, Undecodable) else self.write.backend


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which records are meant; empty: all of them."""

    reasons: frozenset[str] = frozenset()
    backends: frozenset[str] = frozenset()

    def takes(self, found: Found) -> bool:
        """Tell whether it is one of them."""
        return (not self.reasons or found.reason in self.reasons) and (
            not self.backends or found.backend in self.backends
        )


@dataclass(slots=True)
class Tally:
    """Records by reason, of a bounded number of reasons."""

    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str) -> None:
        """Count one."""
        self.reasons[bounded(reason, self.reasons)] += 1

    def text(self, shown: int, *, narrowed: bool = False) -> str:
        """Lines for people, the most frequent reason first; so many of the records were `shown`.

        `narrowed` when not all records of the topic were asked for.
        """
        if not (records := self.reasons.total()):
            return "No record in the quarantine is as asked for." if narrowed else "The quarantine is empty."
        lines = [f"{count:>9}  {short(reason)}" for reason, count in self.reasons.most_common()]
        newest = f", the newest {shown} of them above" if shown < records else ""
        return "\n".join([f"{records} record{'s' * (records != 1)}{newest}:", *lines])


class Newest:
    """The newest lines of any number of records, by append time; only `limit` are kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heap: list[tuple[int, Place, str]] = []

    def add(self, found: Found, line: str) -> None:
        """Keep the line unless there are newer ones enough."""
        keep = heappush if len(self._heap) < self._limit else heappushpop
        keep(self._heap, (found.appended_ms, found.place, line))

    def lines(self) -> list[str]:
        """Return what was kept, oldest first."""
        return [line for _, _, line in sorted(self._heap)]


def found_in(record: Record, schema_ids: Mapping[int, Schema]) -> Found:
    """Read one record. Never raises. `schema_ids` names the schema of each registry id (Confluent framing)."""
    checksum, write = _read(record, schema_ids)
    return Found(
        place=Place(record.partition, record.offset),
        appended_ms=record.timestamp,
        origin=(dict(record.headers).get(ORIGIN) or b"").decode("utf-8", "backslashreplace"),
        checksum=checksum,
        write=write,
    )


def _read(record: Record, schema_ids: Mapping[int, Schema]) -> tuple[Checksum, RawWrite | Undecodable]:
    if record.value is None:
        return "none", Undecodable("null_value", "the record has no value")
    checksum: Checksum = "none"
    try:
        writer, body = split(record.value, schema_ids)
        checksum = "wrong"
        checksum = "good" if verify_checksum(body, record.headers) else "none"
        return checksum, decode_raw_write(body, writer)
    except Undecodable as reason:
        return checksum, reason


def line(found: Found, zone: tzinfo | None = None) -> str:
    """One line for people, without the user; times in `zone`, None is the local one."""
    time = at_ms(found.appended_ms, zone)
    dict_name = "-"
    if isinstance(found.write, RawWrite):
        time, dict_name = _received(found.write, zone), short(found.write.dict_name) or "-"
    return (
        f"{found.place!s:<9}  {time}  {short(found.backend) or '-':<{_BACKEND_WIDTH}}  {dict_name:<{_DICT_WIDTH}}  "
        f"{short(found.reason):<{_REASON_WIDTH}}  {short(found.detail)}"
    ).rstrip()


def document(found: Found, topic: str) -> dict[str, Any]:
    """Return the same for programs."""
    told: dict[str, Any] = {
        "topic": topic,
        "partition": found.place.partition,
        "offset": found.place.offset,
        "appended_at": iso_ms(found.appended_ms),
        "appended_at_ms": found.appended_ms,
        "origin": found.origin or None,
        "checksum": found.checksum,
        "backend": found.backend,
        "reason": found.reason,
        "detail": found.detail,
    }
    if isinstance(found.write, Undecodable):
        return told | {"undecodable": found.write.reason}
    return told | {
        "dict_name": found.write.dict_name,
        "received_at_us": found.write.received_at_us,
        "epoch": found.write.epoch,
        "sequence": found.write.sequence,
    }


def whole_document(found: Found, record: Record) -> str:
    """One JSON object with everything; bytes are text where they are UTF-8, else `{"hex": ...}`."""
    told = document(found, record.topic)
    if isinstance(found.write, Undecodable):
        return json.dumps(told | {"record_key": _json(record.key), "record_value": _json(record.value)})
    entries = [{"key": _json(key), "value": _json(value)} for key, value in found.write.entries]
    return json.dumps(told | {"user": _json(found.write.user), "entries": entries})


def whole_text(found: Found, record: Record, zone: tzinfo | None = None) -> str:
    """Everything, in lines for people; what cannot be printed is escaped."""
    rows = [("record", f"{found.place} of {record.topic}"), ("appended", at_ms(found.appended_ms, zone))]
    write = found.write
    if isinstance(write, RawWrite):
        rows += [("received", _received(write, zone))]
    rows += [
        ("reason", f"{found.reason}: {found.detail}" if found.detail else found.reason),
        ("backend", found.backend or "-"),
        ("origin", found.origin or "-"),
        ("checksum", found.checksum),
    ]
    if isinstance(write, RawWrite):
        rows += [("dict", write.dict_name or "-"), ("user", _printable(write.user))]
        for key, value in write.entries:
            rows += [("key", _printable(key)), ("value", _printable(value))]
    else:
        rows += [("key", _printable(record.key)), ("value", _printable(record.value))]
    return "\n".join(f"{name:<9} {visible(text)}".rstrip() for name, text in rows)


def bounded(reason: str, known: Mapping[str, object]) -> str:
    """Return the reason, or the one for all others when there are too many already."""
    return reason if reason in known or len(known) < MAX_REASONS else _OTHER_REASONS


def short(text: str) -> str:
    """Text from a record, cut and without what would command the terminal."""
    return visible(text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 3] + "...")


def _received(write: RawWrite, zone: tzinfo | None) -> str:
    try:
        return at_ms(write.received_at_us // 1_000, zone)
    except (OverflowError, ValueError):
        return f"{write.received_at_us} us"


def _printable(value: bytes | None) -> str:
    return "none" if value is None else value.decode("utf-8", "backslashreplace")


def _json(value: bytes | None) -> str | dict[str, str] | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"hex": value.hex()}
