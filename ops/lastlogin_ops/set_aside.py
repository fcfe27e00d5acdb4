"""Records that were set aside, by a producer or by the consumer: which are meant, and how they are shown. Pure."""

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from heapq import heappush, heappushpop
from typing import Any, ClassVar, Literal, TypeVar

from lastlogin_ops.tailing import Record, visible
from lastlogin_schemas.errors import Undecodable
from lastlogin_schemas.framing import split
from lastlogin_schemas.headers import ORIGIN, verify_checksum
from lastlogin_schemas.schema import Schema
from lastlogin_service.moments import at_ms, iso_ms
from lastlogin_service.places import Place


# Reasons are an open set, and whoever may write to the topic invents them.
MAX_REASONS = 100
_OTHER_REASONS = "(others)"
# Of text from the record in a list; `show` has all of it.
_MAX_CHARACTERS = 160
# Of the same for programs.
_MAX_DOCUMENTED = 1_000
_REASON_WIDTH, _BACKEND_WIDTH = 12, 20

Checksum = Literal["good", "none", "wrong"]

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Found(ABC):
    """One record that was set aside; `message` is what it holds, or why that cannot be read."""

    record: Record
    checksum: Checksum
    message: Any

    # Width of the column that only records of this kind have.
    own_width: ClassVar[int]

    @property
    def place(self) -> Place:
        """Where it stands among those that were set aside."""
        return Place(self.record.partition, self.record.offset)

    @property
    def origin(self) -> str:
        """The header's text, empty without one."""
        return (dict(self.record.headers).get(ORIGIN) or b"").decode("utf-8", "backslashreplace")

    @property
    def backend(self) -> str:
        """Who published it; of what cannot be read, as the header says."""
        return self.origin.split("/")[0] if isinstance(self.message, Undecodable) else str(self.message.backend)

    @property
    def user(self) -> bytes | None:
        """Whose it is; of what cannot be read, as the record's key says."""
        if isinstance(self.message, Undecodable):
            return self.record.key
        user = self.message.user
        return user.encode() if isinstance(user, str) else bytes(user)

    @property
    @abstractmethod
    def reason(self) -> str:
        """Why it was set aside."""

    @property
    @abstractmethod
    def detail(self) -> str:
        """The same in a sentence."""

    @abstractmethod
    def _own_column(self) -> str: ...

    @abstractmethod
    def _told(self) -> dict[str, Any]:
        """What only records of this kind have, without users."""

    @abstractmethod
    def _contents(self) -> dict[str, Any]:
        """What only `show` has."""

    @abstractmethod
    def _rows(self, zone: tzinfo | None) -> Iterable[tuple[str, str]]:
        """The same for people, with what `_told` has."""

    def _time(self, zone: tzinfo | None) -> str:
        """When it was set aside."""
        return at_ms(self.record.timestamp, zone)

    def line(self, zone: tzinfo | None = None) -> str:
        """One line for people, without the user; times in `zone`, None is the local one."""
        return (
            f"{self.place!s:<9}  {self._time(zone)}  {short(self.backend) or '-':<{_BACKEND_WIDTH}}  "
            f"{short(self._own_column()) or '-':<{self.own_width}}  {short(self.reason):<{_REASON_WIDTH}}  "
            f"{short(self.detail)}"
        ).rstrip()

    def document(self) -> dict[str, Any]:
        """Return the same for programs, long text cut."""
        return {
            name: value[:_MAX_DOCUMENTED] if isinstance(value, str) else value
            for name, value in self._document().items()
        }

    def _document(self) -> dict[str, Any]:
        return {
            "topic": self.record.topic,
            "partition": self.place.partition,
            "offset": self.place.offset,
            "appended_at": iso_ms(self.record.timestamp),
            "appended_at_ms": self.record.timestamp,
            "origin": self.origin or None,
            "checksum": self.checksum,
            "backend": self.backend,
            "reason": self.reason,
            "detail": self.detail,
            **self._told(),
        }

    def whole_document(self) -> str:
        """One JSON object with everything; bytes are text where they are UTF-8, else `{"hex": ...}`."""
        return json.dumps(self._document() | self._contents())

    def whole_text(self, zone: tzinfo | None = None) -> str:
        """Everything, in lines for people; what cannot be printed is escaped."""
        rows = [
            ("record", f"{self.place} of {self.record.topic}"),
            ("appended", at_ms(self.record.timestamp, zone)),
            ("reason", f"{self.reason}: {self.detail}" if self.detail else self.reason),
            ("backend", self.backend or "-"),
            ("origin", self.origin or "-"),
            ("checksum", self.checksum),
            *self._rows(zone),
        ]
        return "\n".join(f"{name:<9} {visible(text)}".rstrip() for name, text in rows)


def read(
    record: Record, schema_ids: Mapping[int, Schema], decode: Callable[[bytes, Schema], M]
) -> tuple[Checksum, M | Undecodable]:
    """Read a value with `decode`. Never raises. `schema_ids` names the schema of each registry id."""
    if record.value is None:
        return "none", Undecodable("null_value", "the record has no value")
    checksum: Checksum = "none"
    try:
        writer, body = split(record.value, schema_ids)
        checksum = "wrong"
        checksum = "good" if verify_checksum(body, record.headers) else "none"
        return checksum, decode(body, writer)
    except Undecodable as reason:
        return checksum, reason


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which records are meant; empty: all of them."""

    reasons: frozenset[str] = frozenset()
    backends: frozenset[str] = frozenset()
    user: bytes = b""

    def takes(self, found: Found) -> bool:
        """Tell whether it is one of them."""
        return (
            (not self.reasons or found.reason in self.reasons)
            and (not self.backends or found.backend in self.backends)
            and (not self.user or found.user == self.user)
        )


@dataclass(slots=True)
class Tally:
    """Records by reason, of a bounded number of reasons, and when the first and the last of them were set aside."""

    reasons: Counter[str] = field(default_factory=Counter)
    first_ms: int | None = None
    last_ms: int | None = None

    def add(self, found: Found) -> None:
        """Count one."""
        self.reasons[bounded(found.reason, self.reasons)] += 1
        at = found.record.timestamp
        self.first_ms = at if self.first_ms is None else min(at, self.first_ms)
        self.last_ms = at if self.last_ms is None else max(at, self.last_ms)

    @property
    def records(self) -> int:
        """How many."""
        return self.reasons.total()

    def lines(self) -> list[str]:
        """A line for each reason, the most frequent first."""
        return [f"{count:>9,}  {reason}" for reason, count in self.reasons.most_common()]

    def between(self, zone: tzinfo | None = None) -> str:
        """The times, for people."""
        first, last = (at_ms(each or 0, zone) for each in (self.first_ms, self.last_ms))
        return f"of {first}" if first == last else f"of {first} to {last}"


class Newest:
    """The newest lines of any number of records, by append time; only `limit` are kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heap: list[tuple[int, Place, str]] = []

    def add(self, found: Found, line: str) -> None:
        """Keep the line unless there are newer ones enough."""
        keep = heappush if len(self._heap) < self._limit else heappushpop
        keep(self._heap, (found.record.timestamp, found.place, line))

    def lines(self) -> list[str]:
        """Return what was kept, oldest first."""
        return [line for _, _, line in sorted(self._heap)]


def bounded(reason: str, known: Mapping[str, object]) -> str:
    """Return the reason, cut, or the one for all others when there are too many already."""
    reason = short(reason)
    return reason if reason in known or len(known) < MAX_REASONS else _OTHER_REASONS


def short(text: str) -> str:
    """Text from a record, cut and without what would command the terminal."""
    return visible(text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 3] + "...")


def as_text(value: bytes | None) -> str:
    """Bytes for people."""
    return "none" if value is None else value.decode("utf-8", "backslashreplace")


def as_json(value: bytes | None) -> str | dict[str, str] | None:
    """Bytes for programs."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"hex": value.hex()}
