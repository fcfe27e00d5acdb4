"""Further fields of a transaction (Dovecot 2.4.5's last_login_dict_fields): the address, attributes, or no login."""

import pytest

from lastlogin_producer.dictproto import CommittedWrite
from lastlogin_producer.events import EventRules
from lastlogin_schemas.event import LoginEvent, RawWrite
from tests.support.rules import event_rules


AT = b"1795387910161"
ACCESS = b"shared/last-login/imap/u/access"


def _interpret(*entries: tuple[bytes, bytes], user: bytes = b"u", rules: EventRules | None = None) -> object:
    return (rules or event_rules()).interpret(CommittedWrite(user, "statsdb", entries), 5)


@pytest.mark.parametrize(
    "entries",
    [
        [(ACCESS, AT), (b"shared/ip", b"192.0.2.1")],
        [(b"shared/ip", b"192.0.2.1"), (ACCESS, AT)],
        [(ACCESS, AT), (b"shared/last-login/imap/u/ip", b"::ffff:192.0.2.1")],
        [(b"shared/last-login/imap/u", AT), (b"shared/last-login/imap/u/ip", b"192.0.2.1")],
        [(b"shared/last-login/imap/u/192.0.2.1", AT), (b"shared/ip", b"192.0.2.1")],
        [(b"shared/last-login/imap/u/192.0.2.1", AT), (b"shared/ip", b"")],
    ],
    ids=str,
)
def test_the_address_beside_the_login(entries: list[tuple[bytes, bytes]]) -> None:
    """The field `ip` is the client's address, below `shared/` or where the login's key is, in any order."""
    event = _interpret(*entries)

    assert isinstance(event, LoginEvent)
    assert ("u", "imap", "192.0.2.1", {}) == (event.user, event.service, event.remote_ip, event.attributes)


def test_without_an_address() -> None:
    """An empty `ip` is a login without address, as with a local client."""
    event = _interpret((ACCESS, AT), (b"shared/ip", b""))

    assert isinstance(event, LoginEvent)
    assert event.remote_ip is None


def test_any_other_field_is_an_attribute() -> None:
    """By the last part of its key; the login's key is the event's."""
    event = _interpret(
        (b"shared/session", b"abc/1"),
        (ACCESS, AT),
        (b"shared/last-login/imap/u/local", "ü".encode()),
        (b"shared/x", b""),
    )

    assert isinstance(event, LoginEvent)
    assert {"session": "abc/1", "local": "ü", "x": ""} == event.attributes
    assert ACCESS.decode() == event.dict_key


def test_attributes_are_part_of_the_identity() -> None:
    """Writes that differ in a field alone are two events; the order of the fields makes none."""
    fields = [(b"shared/a", b"1"), (b"shared/b", b"2")]
    events = [_interpret((ACCESS, AT), *each) for each in (fields, fields[::-1], fields[:1])]

    assert 2 == len({event.event_id for event in events if isinstance(event, LoginEvent)})


@pytest.mark.parametrize(
    ("entries", "reason", "detail"),
    [
        ([(b"shared/x", b"1"), (b"shared/y", b"2")], "bad_key", "fits no"),
        ([(b"shared/x", b"1"), (b"shared/last-login/imap/other", AT)], "key_mismatch", "not one of"),
        ([(ACCESS, AT), (b"shared/last-login/imap/u/192.0.2.1", AT)], "extra_keys", "two logins"),
        ([(ACCESS, AT), (ACCESS, AT)], "extra_keys", "two logins"),
        ([(ACCESS, AT), (b"shared/last-login/imap/other/ip", b"::1")], "extra_keys", "does not belong"),
        ([(ACCESS, AT), (b"shared/last-login/pop3/u/ip", b"::1")], "extra_keys", "does not belong"),
        ([(ACCESS, AT), (b"priv/ip", b"::1")], "extra_keys", "does not belong"),
        ([(ACCESS, AT), (b"ip", b"::1")], "extra_keys", "does not belong"),
        ([(ACCESS, AT), (b"shared/ip", b"not-an-ip")], "bad_address", "the field ip"),
        ([(ACCESS, AT), (b"shared/ip", b"\xff")], "extra_keys", "not UTF-8"),
        ([(ACCESS, AT), (b"shared/a", b"\x00")], "extra_keys", "NUL"),
        ([(ACCESS, AT), (b"shared/a", b"x" * 1025)], "extra_keys", "longer than 1024"),
        ([(ACCESS, AT), (b"shared/" + b"a" * 65, b"x")], "extra_keys", "name is not 1 to 64"),
        ([(ACCESS, AT), (b"shared/", b"x")], "extra_keys", "name is not 1 to 64"),
        ([(ACCESS, AT), (b"shared/a", b"1"), (b"shared/a", b"1")], "extra_keys", "twice"),
        ([(ACCESS, AT), *((b"shared/f%d" % n, b"") for n in range(17))], "extra_keys", "more than 16"),
        (
            [(b"shared/last-login/imap/u/192.0.2.1", AT), (b"shared/ip", b"192.0.2.2")],
            "bad_address",
            "different addresses",
        ),
        ([(ACCESS, b"abc"), (b"shared/ip", b"192.0.2.1")], "bad_value", "digits"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_no_half_login(entries: list[tuple[bytes, bytes]], reason: str, detail: str) -> None:
    """What is no login with its own fields is kept whole in the quarantine, never as a login without some."""
    raw = _interpret(*entries)

    assert isinstance(raw, RawWrite)
    assert (reason, tuple(entries)) == (raw.reason, raw.entries)
    assert detail in raw.detail


def test_a_user_who_is_called_like_a_service() -> None:
    """The key of another user is no field of the user `imap`."""
    raw = _interpret((b"shared/last-login/imap/imap", AT), (b"shared/last-login/imap/other", b"x"), user=b"imap")

    assert isinstance(raw, RawWrite)
    assert "extra_keys" == raw.reason


def test_the_most_that_fits() -> None:
    """16 fields of 64 and 1,024 bytes are an event's."""
    fields = [(b"shared/%064d" % n, b"x" * 1024) for n in range(16)]

    assert isinstance(_interpret((ACCESS, AT), *fields), LoginEvent)
