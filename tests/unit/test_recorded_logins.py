"""What Dovecot really sends, from its bytes to the event and the reply."""

from pathlib import Path

import pytest

from lastlogin_producer.dictproto import CommittedWrite, DictConnection, Limits
from lastlogin_producer.outcome import Outcome
from lastlogin_schemas.event import LoginEvent
from tests.support.rules import event_rules


TRANSCRIPTS = Path(__file__).parents[1] / "data" / "dict"
ODD = "a/b jörg%d'用户@example.org"

# By the name of the file: the user, the service and the address. Those of 2.3.19 are recorded by
# tests/integration/test_recorded_dovecot.py. Nobody runs 2.4 here: its lines are put together from its source and
# documentation (2.4.1 was seen to send such a hello and begin), and so are those of major 2.
RECORDED: dict[str, tuple[str, str, str | None]] = {
    "dovecot-2.3.19-imap": ("test1", "imap", None),
    "dovecot-2.3.19-imap-address": ("test4", "imap", "127.0.0.21"),
    "dovecot-2.3.19-imap-domain": ("test8@example.org", "imap", None),
    "dovecot-2.3.19-imap-no-domain": ("test7", "imap", None),
    "dovecot-2.3.19-imap-odd": (ODD, "imap", None),
    "dovecot-2.3.19-pop3": ("test1", "pop3", None),
    "dovecot-2.3.19-pop3-address": ("test4", "pop3", "127.0.0.21"),
    "dovecot-2.3.19-pop3-odd": (ODD, "pop3", None),
    "dovecot-2.3.19-lmtp": ("test1", "lmtp", None),
    "dovecot-2.3.19-lmtp-address": ("test4", "lmtp", "127.0.0.21"),
    "dovecot-2.4.1-imap": ("test1", "imap", None),
    "dovecot-2.4.5-fields": ("test1", "imap", "192.0.2.1"),
    "major-2-imap": ("test1", "imap", None),
}
RULES = event_rules(
    "last-login/$service/$user/$ip",
    "last-login/$service/$user",
    "last-login/$service/$user/access",
    "last-login/$service/$user/$domain",
)


def _event(connection: DictConnection, data: bytes, received_at_us: int = 5) -> LoginEvent:
    """The one login in `data`, answered."""
    [write] = connection.receive_data(data)
    assert isinstance(write, CommittedWrite)
    connection.reply(write, Outcome.STORED)
    event = RULES.interpret(write, received_at_us)
    assert isinstance(event, LoginEvent)
    return event


def test_every_recording_is_looked_at() -> None:
    """None is forgotten."""
    assert sorted(RECORDED) == sorted(file.stem for file in TRANSCRIPTS.iterdir())


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_login(name: str) -> None:
    """One login of exactly this user, with the time that was sent, answered `O1`."""
    data = (TRANSCRIPTS / f"{name}.txt").read_bytes()
    connection = DictConnection({b"statsdb": "statsdb"}, Limits())
    event = _event(connection, data)

    assert RECORDED[name] == (event.user, event.service, event.remote_ip)
    assert f"\t{event.login_at_us // 1_000}\n".encode() in data
    assert b"O1\n" == connection.data_to_send()


@pytest.mark.parametrize("name", ["dovecot-2.4.1-imap", "dovecot-2.4.5-fields"])
def test_a_transaction_that_is_sent_again(name: str) -> None:
    """2.4.2 sends a transaction once more on a new connection, and its fields in any order: one event, one id."""
    lines = (TRANSCRIPTS / f"{name}.txt").read_bytes().splitlines(keepends=True)
    first = _event(DictConnection({b"statsdb": "statsdb"}, Limits()), b"".join(lines), 5)
    again = b"".join([*lines[:2], *lines[2:-1][::-1], lines[-1]])
    second = _event(DictConnection({b"statsdb": "statsdb"}, Limits()), again, 2_000_000)

    assert first.event_id == second.event_id
    assert first.received_at_us != second.received_at_us
    later = again.replace(b"910161", b"910162")
    assert first.event_id != _event(DictConnection({b"statsdb": "statsdb"}, Limits()), later).event_id
