"""Records that the consumer could not use, and which of them it could use by now. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, ClassVar

from lastlogin_ops.replaying import Message, Passed, Unfit
from lastlogin_ops.set_aside import Found, as_json, as_text, read
from lastlogin_ops.tailing import Record, text
from lastlogin_schemas.address import column_bytes
from lastlogin_schemas.codec import decode_login_event
from lastlogin_schemas.dead_letter import Story, split_letter
from lastlogin_schemas.errors import Undecodable
from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.schema import Schema
from lastlogin_service.places import Place


FUTURE = "future"
# In the place of a reason, for a record that our consumer has not put there.
FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class DeadLetter(Found):
    """One record of the dead-letter topic, with the login that it is by now, and the record's own headers.

    `story` is None when it is no dead letter.
    """

    message: LoginEvent | Undecodable
    headers: list[tuple[str, Any]]
    story: Story | None

    own_width: ClassVar[int] = 12

    @property
    def reason(self) -> str:
        """Why it was set aside."""
        return self.story.reason if self.story else FOREIGN

    @property
    def detail(self) -> str:
        """The same in a sentence."""
        return self.story.error if self.story else "the record is no dead letter of ours"

    def _own_column(self) -> str:
        return str(Place(self.story.partition, self.story.offset)) if self.story else ""

    def _told(self) -> dict[str, Any]:
        unreadable = self.message if isinstance(self.message, Undecodable) else None
        story = self.story
        # Kafka's own limit of a topic's name.
        where = {"topic": story.topic[:249], "partition": story.partition, "offset": story.offset} if story else None
        return {"of": where, "undecodable": unreadable and unreadable.reason}

    def _contents(self) -> dict[str, Any]:
        return {
            "record_key": as_json(self.record.key),
            "record_value": as_json(self.record.value),
            "record_headers": [{"name": name, "value": as_json(value)} for name, value in self.headers],
            "login": self.message._asdict() if isinstance(self.message, LoginEvent) else None,
        }

    def _rows(self, zone: tzinfo | None) -> Iterable[tuple[str, str]]:
        if self.story:
            yield "of", f"{self._own_column()} of {self.story.topic}"
        yield "login", text(self.record, self.message, zone) if isinstance(self.message, LoginEvent) else "none"
        for name, value in self.headers:
            yield "header", f"{name}: {as_text(value)}"
        yield "key", as_text(self.record.key)
        yield "value", as_text(self.record.value)


def dead_letter(record: Record, schema_ids: Mapping[int, Schema]) -> DeadLetter:
    """Read one record. Never raises. `schema_ids` names the schema of each registry id (Confluent framing)."""
    headers, story = split_letter(record.headers) or (list(record.headers), None)
    return DeadLetter(record, *read(record, schema_ids, _login), headers, story)


def again(
    letter: DeadLetter, topic: str, services: Collection[str], now_us: int, *, future: bool
) -> Message | Unfit | Passed:
    """Judge whether the consumer can use a record of `topic` by now, by what is known here.

    `services` are those with a column. Logins that were set aside because they were ahead of Kafka's time are
    meant only with `future`.
    """
    if letter.reason == FUTURE and not future:
        return Passed("left out, for the mail host's clock was wrong: --reason future takes them")
    login = _fit(letter, topic, services, now_us)
    if isinstance(login, Unfit):
        return login
    record = letter.record
    # Not None: it was read.
    value = record.value or b""
    return Message(record.key, value, letter.headers, login.user.encode() if record.key is None else record.key)


def _fit(letter: DeadLetter, topic: str, services: Collection[str], now_us: int) -> LoginEvent | Unfit:
    login, story = letter.message, letter.story
    if story is None:
        return Unfit(FOREIGN, letter.detail)
    if story.topic != topic:
        return Unfit("other_topic", f"it is a record of {story.topic}, not of {topic}")
    if isinstance(login, Undecodable):
        return Unfit(login.reason, login.detail)
    if login.service not in services:
        return Unfit("unmapped", f"[columns] of this configuration has no service {login.service}")
    if login.login_at_us > now_us:
        return Unfit(FUTURE, "the time of the login has not come yet")
    return login


def _login(body: bytes, writer: Schema) -> LoginEvent:
    event = decode_login_event(body, writer)
    try:
        column_bytes(event.remote_ip)
    except ValueError:
        raise Undecodable("out_of_range", "remote_ip is not an address") from None
    return event
