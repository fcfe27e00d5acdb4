"""What a dict write means: a login, or something for the quarantine with its reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastlogin_producer.dictproto import CommittedWrite
from lastlogin_producer.events import EventRules
from lastlogin_producer.rule_settings import RuleSettings
from lastlogin_producer.rules import Dropped
from lastlogin_schemas.event import QUARANTINE_REASONS, LoginEvent, RawWrite, event_id
from tests.support.rules import event_rules, settings_with


RULES = event_rules()
NOW_US = 1_795_387_911_000_000
AT = b"1795387910161"
AT_US = 1_795_387_910_161_000


def _interpret(
    user: str | bytes, key: str | bytes, value: bytes = AT, rules: EventRules = RULES
) -> LoginEvent | RawWrite:
    user = user.encode() if isinstance(user, str) else user
    key = key.encode() if isinstance(key, str) else key
    message = rules.interpret(CommittedWrite(user, "statsdb", ((key, value),)), NOW_US)
    assert not isinstance(message, Dropped)
    return message


def _reason(message: LoginEvent | RawWrite) -> str:
    assert isinstance(message, RawWrite)
    return message.reason


def test_a_login() -> None:
    """Everything that the write says is in the event; the id is that of its content."""
    key = "shared/last-login/imap/test1/192.0.2.1"

    assert LoginEvent(
        user="test1",
        service="imap",
        login_at_us=AT_US,
        remote_ip="192.0.2.1",
        backend="mail1",
        dict_name="statsdb",
        dict_key=key,
        event_id=event_id(
            backend="mail1",
            dict_name="statsdb",
            user="test1",
            service="imap",
            login_at_us=AT_US,
            remote_ip="192.0.2.1",
            dict_key=key,
            attributes={},
        ),
        received_at_us=NOW_US,
    ) == _interpret("test1", key)


@pytest.mark.parametrize(
    ("user", "key", "service", "address"),
    [
        ("test1", "shared/last-login/pop3/test1", "pop3", None),
        ("test1", "shared/last-login/pop3/test1/", "pop3", None),
        ("a/b@x", "shared/last-login/imap/a/b@x/192.0.2.1", "imap", "192.0.2.1"),
        ("a/192.0.2.9", "shared/last-login/imap/a/192.0.2.9", "imap", None),
        ("imap", "shared/last-login/imap/imap", "imap", None),
        ("jo smith", "shared/last-login/lmtp/jo smith", "lmtp", None),
        ("%u", "shared/last-login/imap/%u/2001:DB8::1", "imap", "2001:db8::1"),
        ("Ünï@x", "shared/last-login/imap/Ünï@x/::ffff:192.0.2.3", "imap", "192.0.2.3"),
        ("..", "shared/last-login/imap/..", "imap", None),
        ("';DROP", "shared/last-login/imap/';DROP", "imap", None),
        ("u" * 4096, f"shared/last-login/imap/{'u' * 4096}", "imap", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_keys(user: str, key: str, service: str, address: str | None) -> None:
    """Keys are read around the exact user, whatever is in the name; a key may lack the address."""
    event = _interpret(user, key)

    assert isinstance(event, LoginEvent)
    assert (user, service, address, key) == (event.user, event.service, event.remote_ip, event.dict_key)


@pytest.mark.parametrize(
    ("value", "at_us"),
    [
        (b"1795387910", 1_795_387_910_000_000),
        (b"1795387910161", 1_795_387_910_161_000),
        (b"1795387910161234", 1_795_387_910_161_234),
        (b"1795387910161234999", 1_795_387_910_161_234),
    ],
)
def test_precisions(value: bytes, at_us: int) -> None:
    """s, ms, us and ns are told by their number of digits, so mixed clusters need no setting."""
    event = _interpret("u", "shared/last-login/imap/u", value)

    assert isinstance(event, LoginEvent)
    assert at_us == event.login_at_us


@pytest.mark.parametrize(
    "value",
    [b"", b"abc", b"-1", b"0", b"1e9", b"9" * 40, b"0946684799", b"4102444800", b" 795387910", "١٧٩٥٣٨٧٩١٠".encode()],
    ids=str,
)
def test_values_that_are_no_time(value: bytes) -> None:
    """Garbage and times outside the years 2000 to 2100 are quarantined."""
    assert _reason(_interpret("u", "shared/last-login/imap/u", value)) == "bad_value"


@pytest.mark.parametrize(
    ("user", "key", "reason"),
    [
        ("", "shared/last-login/imap/", "bad_user"),
        (b"\xff", b"shared/last-login/imap/\xff", "bad_user"),
        (b"a\x00b", b"shared/last-login/imap/a\x00b", "bad_user"),
        ("u" * 65_536, f"shared/last-login/imap/{'u' * 65_536}", "bad_user"),
        ("u", "shared/last-login/imap/other", "key_mismatch"),
        ("u", "shared/last-login/imap/other/192.0.2.1", "key_mismatch"),
        ("u", "priv/last-login/imap/u", "bad_key"),
        ("u", "shared/last-login", "bad_key"),
        ("u", "", "bad_key"),
        ("u", "shared/last-login/imap/u/example.org", "bad_address"),
        ("u", "shared/last-login/imap/u/192.0.2.1/x", "bad_address"),
        ("u", "shared/last-login//u", "bad_service"),
        ("u", b"shared/last-login/\xff/u", "bad_service"),
        ("u", f"shared/last-login/{'s' * 65}/u", "bad_service"),
        ("u", "shared/last-login/im\nap/u", "bad_service"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_quarantine(user: str | bytes, key: str | bytes, reason: str) -> None:
    """What does not fit is kept as received, with a reason; never is it another user's login."""
    raw = _interpret(user, key)

    assert isinstance(raw, RawWrite)
    assert reason == raw.reason
    assert user in (raw.user, raw.user.decode("utf-8", "replace"))
    assert AT == raw.entries[0][1]
    assert (raw.backend, raw.dict_name, raw.received_at_us) == ("mail1", "statsdb", NOW_US)


def test_a_sentence_without_names() -> None:
    """The reason in words holds neither user nor address."""
    raw = _interpret("secret-user", "shared/last-login/imap/secret-user/192.0.2.999")

    assert isinstance(raw, RawWrite)
    assert "secret-user" not in raw.detail
    assert "192.0.2" not in raw.detail


def test_a_key_without_service_takes_the_default() -> None:
    """The plugin's own default key has no service; the configured one stands in."""
    event = _interpret("u", "shared/last-login/u", rules=event_rules("shared/last-login/$user", default_service="imap"))

    assert isinstance(event, LoginEvent)
    assert "imap" == event.service


def test_a_dict_that_is_not_configured_any_more() -> None:
    """A conversation may outlive its dict; what it commits then is put aside."""
    raw = RULES.interpret(CommittedWrite(b"u", "other", ((b"shared/last-login/imap/u", AT),)), NOW_US)

    assert isinstance(raw, RawWrite)
    assert ("bad_key", "the dict is not configured any more") == (raw.reason, raw.detail)


def test_each_dict_has_keys_of_its_own() -> None:
    """One producer serves several dicts, and what is a login in one may be none in another."""
    rules = EventRules.of(
        settings_with(dicts={"a": {"key_patterns": ["$user"], "default_service": "pop3"}, "b": {}}), "mail1"
    )
    key = b"shared/last-login/imap/u"
    messages = [
        rules.interpret(CommittedWrite(user, name, ((entry, AT),)), NOW_US)
        for name, user, entry in (
            ("a", b"u", b"shared/u"),
            ("b", b"u", b"shared/u"),
            ("a", b"u", key),
            ("b", b"u", key),
        )
    ]

    assert ("a", "b") == tuple(rules.dict_names)
    assert [LoginEvent, RawWrite, RawWrite, LoginEvent] == [type(message) for message in messages]
    assert ["pop3", "imap"] == [message.service for message in messages if isinstance(message, LoginEvent)]


@pytest.mark.parametrize(
    ("users", "sent", "recorded"),
    [
        ({}, "Joe", "Joe"),
        ({"lower_case": True}, "Joe@Example.ORG", "joe@example.org"),
        ({"lower_case": True}, "JÖRG", "jÖrg"),
        ({"default_domain": "Example.org"}, "Joe", "Joe@Example.org"),
        ({"default_domain": "example.org"}, "joe@other", "joe@other"),
        ({"lower_case": True, "default_domain": "example.org"}, "JOE", "joe@example.org"),
    ],
)
def test_user_names_as_they_are_recorded(users: dict[str, object], sent: str, recorded: str) -> None:
    """Lower case is A to Z alone, as in Dovecot; a domain is added where there is none; the key stays as received."""
    rules = EventRules.of(settings_with(users=users), "mail1")
    event = _interpret(sent, f"shared/last-login/imap/{sent}", rules=rules)

    assert isinstance(event, LoginEvent)
    assert (recorded, f"shared/last-login/imap/{sent}") == (event.user, event.dict_key)


def test_the_user_of_the_key() -> None:
    """Where the key spells the user otherwise, it is the key's that is recorded; what is put aside keeps Dovecot's."""
    rules = event_rules(user_from="key")
    event = _interpret("Joe@Example.org", "shared/last-login/imap/joe@example.org/192.0.2.1", rules=rules)

    assert isinstance(event, LoginEvent)
    assert "joe@example.org" == event.user
    raw = _interpret("Joe", b"shared/last-login/imap/\xff", rules=rules)
    assert isinstance(raw, RawWrite)
    assert ("bad_user", b"Joe") == (raw.reason, raw.user)


def test_no_user_gets_no_domain() -> None:
    """An empty name is no user of the default domain; a name that a domain makes too long is none either."""
    rules = EventRules.of(settings_with(users={"default_domain": "example.org"}), "mail1")

    assert "bad_user" == _reason(_interpret("", "shared/last-login/imap/", rules=rules))
    long = "u" * 65_530
    assert "bad_user" == _reason(_interpret(long, f"shared/last-login/imap/{long}", rules=rules))


@given(st.binary(max_size=40), st.binary(max_size=60), st.binary(max_size=20))
def test_no_write_raises(user: bytes, key: bytes, value: bytes) -> None:
    """Whatever the bytes, the result is a login of exactly that user, or a quarantined write."""
    message = _interpret(user, b"shared/last-login/imap/" + key, value)

    if isinstance(message, LoginEvent):
        assert user.decode() == message.user
    else:
        assert message.reason in QUARANTINE_REASONS


def test_services_that_the_settings_name() -> None:
    """Those of keys without one, those that rules are about, and those that rules give."""
    rules = event_rules(
        "last-login/$user",
        default_service="imap",
        rules=[RuleSettings(service="webmail", services=["imap", "submission"]), RuleSettings(address="omit")],
    )

    assert ("imap", "webmail", "imap", "submission") == rules.services
