"""What `lastlogin tail` shows: which records, and each as a line."""

import json
from datetime import UTC, timedelta, timezone
from typing import Any

import pytest

from lastlogin_ops.tailing import Selection, decoded, document, text
from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.framing import prefix
from lastlogin_schemas.schema import LOGIN_EVENT
from tests.support.logins import AT_US, LOGIN, event_record, message, record


_ROME = timezone(timedelta(hours=1))


def test_line_of_a_login() -> None:
    """Time in the given zone, service, user, address and backend, in columns; no address is a dash."""
    line = text(event_record(LOGIN), decoded(event_record(LOGIN), {}), _ROME)
    without = text(event_record(LOGIN), LOGIN._replace(remote_ip=None, service="managesieve"), UTC)

    assert line == f"2023-11-14 23:13:20.161+01:00  imap      {'test1':<32}  192.0.2.1        mail1"
    assert without == f"2023-11-14 22:13:20.161+00:00  managesieve  {'test1':<32}  {'-':<15}  mail1"


def test_control_characters_are_escaped() -> None:
    """A user name cannot start a new line or command the terminal; letters of any script stay."""
    line = text(event_record(LOGIN), LOGIN._replace(user="a\n\x1b[2Jü\u202e"), UTC)

    assert r"a\n\x1b[2Jü\u202e" in line
    assert "\n" not in line


def test_json_has_every_field_and_the_place() -> None:
    """One line: every field of the event, and where and when Kafka has it."""
    there = event_record(LOGIN, offset=7, partition=3, appended_ms=AT_US // 1000 + 5)

    line = document(there, decoded(there, {}))

    place = {"topic": "events", "partition": 3, "offset": 7, "appended_at": "2023-11-14T22:13:20.166Z"}
    assert json.loads(line) == place | {"appended_at_ms": AT_US // 1000 + 5} | LOGIN._asdict()
    assert "\n" not in line


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (None, [], "null_value"),
        (b"not an event", [], "unknown_framing"),
        (message(LOGIN)[0], [("crc32c", b"00000000")], "checksum_mismatch"),
        (prefix(LOGIN_EVENT, 7) + message(LOGIN)[0][10:], [], "unknown_schema"),
    ],
)
def test_what_cannot_be_decoded(value: bytes | None, headers: Any, reason: str) -> None:
    """A record that is no event is a line with the reason and its place, in both forms."""
    bad = record(value, headers, offset=7, partition=3)

    line, machine = text(bad, decoded(bad, {}), UTC), json.loads(document(bad, decoded(bad, {})))

    assert line.startswith(f"2023-11-14 22:13:20.161+00:00  undecodable: {reason}: ")
    assert line.endswith("; partition 3, offset 7")
    assert (machine["undecodable"], machine["partition"], machine["offset"]) == (reason, 3, 7)


def test_registry_ids() -> None:
    """An event in Confluent's framing is read by the schema that its id is configured to stand for."""
    value, headers = message(LOGIN)

    assert LOGIN == decoded(record(prefix(LOGIN_EVENT, 7) + value[10:], headers), {7: LOGIN_EVENT})


def _taken(selection: Selection, event: LoginEvent) -> bool:
    return selection.takes(event_record(event), event)


def test_selection() -> None:
    """Users and services are compared letter by letter; without either everything is shown."""
    assert _taken(Selection(), LOGIN)
    assert _taken(Selection("test1", frozenset({"pop3", "imap"})), LOGIN)
    assert not _taken(Selection("Test1"), LOGIN)
    assert not _taken(Selection(services=frozenset({"pop3"})), LOGIN)


def test_undecodable_is_shown_to_whom_it_may_concern() -> None:
    """Whatever the services; with a user, what has that user's key or none."""
    bad = record(b"x", key=b"test1")

    assert Selection(services=frozenset({"pop3"})).takes(bad, decoded(bad, {}))
    assert Selection("test1").takes(bad, decoded(bad, {}))
    assert Selection("test2").takes(record(b"x", key=None), decoded(bad, {}))
    assert not Selection("test2").takes(bad, decoded(bad, {}))
