"""What `lastlogin dlq` shows of dead letters, and which of them it sends round again."""

import json
from datetime import UTC
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord

from lastlogin_ops.letters import DeadLetter, again, dead_letter
from lastlogin_ops.replaying import Message, Passed, Unfit
from lastlogin_schemas.dead_letter import Story, letter_headers
from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.framing import prefix
from lastlogin_schemas.headers import message_headers
from lastlogin_schemas.schema import LOGIN_EVENT
from tests.support.logins import AT_US, LOGIN, message, record


STORY = Story("refused", "lastlogin.events", 3, 4711, "cannot INSERT: a denylist")
VALUE, OWN = message(LOGIN)


def letter(
    value: bytes | None = VALUE, own: Any = OWN, *, story: Story = STORY, key: bytes | None = b"test1"
) -> ConsumerRecord[bytes, bytes]:
    """One record of the dead-letter topic."""
    return record(value, letter_headers(own, story), key=key, offset=17)


def judged(read: DeadLetter, now_us: int = AT_US + 1, *, future: bool = False) -> Message | Unfit | Passed:
    """Whether it would be sent round again."""
    return again(read, "lastlogin.events", {"imap", "pop3"}, now_us, future=future)


def test_line() -> None:
    """Place, time, backend, the record's own place, reason and error in columns; never the user."""
    read = dead_letter(letter(), {})

    assert read.line(UTC) == (
        f"0:17       2023-11-14 22:13:20.161+00:00  {'mail1':<20}  "
        "3:4711        refused       cannot INSERT: a denylist"
    )
    assert "test1" not in json.dumps(read.document())
    assert "test1" not in read.line()


def test_whose() -> None:
    """A letter is the login's user's, whatever the key; one that cannot be read its key's."""
    read = dead_letter(letter(key=b"other"), {})

    assert read.user == LOGIN.user.encode()
    assert dead_letter(letter(b"?", key=b"other"), {}).user == b"other"


def test_whole_record() -> None:
    """`show` has the login, the record's own headers, key and value; bytes that are no text are escaped."""
    assert dead_letter(letter(), {}).whole_text(UTC).splitlines()[:-1] == [
        "record    0:17 of events",
        "appended  2023-11-14 22:13:20.161+00:00",
        "reason    refused: cannot INSERT: a denylist",
        "backend   mail1",
        "origin    mail1/1/1",
        "checksum  good",
        "of        3:4711 of lastlogin.events",
        f"login     2023-11-14 22:13:20.161+00:00  imap      {'test1':<32}  192.0.2.1        mail1",
        f"header    crc32c: {dict(OWN)['crc32c'].decode()}",
        "header    origin: mail1/1/1",
        "key       test1",
    ]
    shown = dead_letter(letter(b"\x1b\xff", [("h", None)], key=None), {}).whole_text(UTC)
    assert shown.splitlines()[-5:] == [
        "of        3:4711 of lastlogin.events",
        "login     none",
        "header    h: none",
        "key       none",
        r"value     \x1b\xff",
    ]


def test_whole_record_for_programs() -> None:
    """Every field is there; bytes are text where they are UTF-8, else hexadecimal."""
    told = json.loads(dead_letter(letter(), {}).whole_document())

    assert told["of"] == {"topic": "lastlogin.events", "partition": 3, "offset": 4711}
    assert (told["offset"], told["reason"], told["detail"]) == (17, "refused", "cannot INSERT: a denylist")
    assert (told["record_key"], told["record_value"]) == ("test1", {"hex": VALUE.hex()})
    assert told["record_headers"][1] == {"name": "origin", "value": "mail1/1/1"}
    assert (told["login"]["user"], told["undecodable"]) == ("test1", None)


def test_what_is_no_dead_letter() -> None:
    """A record that somebody else has put there is shown as foreign, and never published."""
    read = dead_letter(record(VALUE, OWN), {})

    assert "foreign       the record is no dead letter of ours" in read.line()
    assert (read.document()["of"], read.whole_text(UTC).count("\nof ")) == (None, 0)
    assert judged(read) == Unfit("foreign", "the record is no dead letter of ours")


def test_sent_round_as_it_was() -> None:
    """A login is published with its bytes, its key and its own headers, where its key goes."""
    own = [*OWN, ("reason", b"was here before")]

    assert judged(dead_letter(letter(own=own), {})) == Message(b"test1", VALUE, own, b"test1")
    assert judged(dead_letter(letter(key=None), {})) == Message(None, VALUE, OWN, b"test1")
    assert judged(dead_letter(letter(key=b"other"), {})) == Message(b"other", VALUE, OWN, b"other")


@pytest.mark.parametrize(
    ("value", "own", "reason"),
    [
        (None, [], "null_value"),
        (b"what", [], "unknown_framing"),
        (VALUE[:-1], OWN, "checksum_mismatch"),
        (VALUE[:-1], [], "malformed_avro"),
        (VALUE + b"x", [], "trailing_bytes"),
        (VALUE, [("crc32c", b"x")], "malformed_header"),
        (message(LOGIN._replace(login_at_us=1))[0], [], "out_of_range"),
        (message(LOGIN._replace(remote_ip="mars"))[0], [], "out_of_range"),
        (prefix(LOGIN_EVENT, 7) + VALUE[10:], OWN, "unknown_schema"),
    ],
)
def test_what_still_cannot_be_read(value: bytes | None, own: Any, reason: str) -> None:
    """What is no login by the rules of today stays unfit, with the reason of today."""
    unfit = judged(dead_letter(letter(value, own), {}))

    assert isinstance(unfit, Unfit)
    assert unfit.reason == reason


def test_schema_id_that_was_added() -> None:
    """A registry id that is configured by now makes it a login."""
    framed = letter(prefix(LOGIN_EVENT, 7) + VALUE[10:], story=STORY._replace(reason="unknown_schema"))

    assert isinstance(judged(dead_letter(framed, {7: LOGIN_EVENT})), Message)


def test_service_without_a_column() -> None:
    """A login whose service is not in [columns] stays unfit, whatever it was set aside for."""

    def of(event: LoginEvent) -> DeadLetter:
        value, own = message(event)
        return dead_letter(letter(value, own, story=STORY._replace(reason="unmapped")), {})

    assert judged(of(LOGIN._replace(service="sieve"))) == Unfit(
        "unmapped", "[columns] of this configuration has no service sieve"
    )
    assert isinstance(judged(of(LOGIN._replace(service="pop3"))), Message)


def test_logins_of_the_future() -> None:
    """They are left out unless asked for, and unfit before their time has come."""
    read = dead_letter(letter(story=STORY._replace(reason="future")), {})

    assert isinstance(judged(read), Passed)
    assert judged(read, AT_US - 1, future=True) == Unfit("future", "the time of the login has not come yet")
    assert isinstance(judged(read, AT_US, future=True), Message)
    assert isinstance(judged(dead_letter(letter(), {}), AT_US - 1), Unfit)


def test_record_of_another_topic() -> None:
    """What was read from another topic is not published to this one."""
    read = dead_letter(letter(story=STORY._replace(topic="other")), {})

    assert judged(read) == Unfit("other_topic", "it is a record of other, not of lastlogin.events")


def test_backend_of_what_cannot_be_read() -> None:
    """It is that of the header; without one there is none."""
    damaged = dead_letter(letter(VALUE[:-1], message_headers(b"", "mail9", 1, 2)), {})

    assert (damaged.backend, damaged.checksum) == ("mail9", "wrong")
    assert dead_letter(letter(b"what", []), {}).backend == ""
