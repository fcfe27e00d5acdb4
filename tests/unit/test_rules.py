"""Rules: services by network, what is dropped, and addresses that are hidden wherever they stand."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastlogin_producer.dictproto import CommittedWrite
from lastlogin_producer.rule_settings import RuleSettings
from lastlogin_producer.rules import DROP_REASONS, Dropped, LoginRules, network
from lastlogin_schemas.event import LoginEvent, RawWrite
from tests.support.rules import event_rules


AT = b"1795387910161"
WEBMAIL = {"networks": ["192.0.2.0/24"], "services": ["imap"], "service": "webmail"}
OMIT: dict[str, Any] = {"address": "omit"}
TRUNCATE: dict[str, Any] = {"address": "truncate"}


def _interpret(
    rules: list[dict[str, Any]], key: str, *more: tuple[str, str], user: str = "u", value: bytes = AT
) -> Any:
    entries = (
        (f"shared/last-login/{key}".encode(), value),
        *((name.encode(), text.encode()) for name, text in more),
    )
    event_rules_ = event_rules(rules=[RuleSettings.model_validate(rule) for rule in rules])
    return event_rules_.interpret(CommittedWrite(user.encode(), "statsdb", entries), 5)


@pytest.mark.parametrize(
    ("rules", "key", "service", "address"),
    [
        ([WEBMAIL], "imap/u/192.0.2.7", "webmail", "192.0.2.7"),
        ([WEBMAIL], "imap/u/::ffff:192.0.2.7", "webmail", "192.0.2.7"),
        ([WEBMAIL], "pop3/u/192.0.2.7", "pop3", "192.0.2.7"),
        ([WEBMAIL], "imap/u/198.51.100.7", "imap", "198.51.100.7"),
        ([WEBMAIL], "imap/u/2001:db8::1", "imap", "2001:db8::1"),
        ([WEBMAIL], "imap/u", "imap", None),
        ([WEBMAIL | OMIT], "imap/u/192.0.2.7", "webmail", None),
        ([TRUNCATE], "imap/u/192.0.2.7", "imap", "192.0.2.0"),
        ([TRUNCATE], "imap/u/2001:db8:1:2::3", "imap", "2001:db8:1::"),
        ([TRUNCATE], "imap/u", "imap", None),
        # A later rule goes over an earlier one, and sees the service that the earlier one made.
        ([WEBMAIL, {"services": ["webmail"], **OMIT}], "imap/u/192.0.2.7", "webmail", None),
        ([OMIT, {"networks": ["192.0.2.0/24"], "address": "keep"}], "imap/u/192.0.2.7", "imap", "192.0.2.7"),
        ([OMIT, {"networks": ["192.0.2.0/24"], "address": "keep"}], "imap/u/192.0.3.7", "imap", None),
        # `keep` passes over the rules below.
        ([{"networks": ["192.0.2.0/24"], "action": "keep"}, OMIT], "imap/u/192.0.2.7", "imap", "192.0.2.7"),
        ([{"networks": ["::ffff:192.0.2.0/120"], "service": "x"}], "imap/u/192.0.2.7", "x", "192.0.2.7"),
        ([{"networks": ["2001:db8::/32"], "service": "x"}], "imap/u/2001:db8:ffff::1", "x", "2001:db8:ffff::1"),
        ([{"networks": ["0.0.0.0/0"], "service": "x"}], "imap/u/::1", "imap", "::1"),
        ([{"dicts": ["statsdb"], "service": "x"}], "imap/u/::1", "x", "::1"),
    ],
)
def test_logins(rules: list[dict[str, Any]], key: str, service: str, address: str | None) -> None:
    """Each rule that covers a login applies, from top to bottom."""
    event = _interpret(rules, key)

    assert isinstance(event, LoginEvent)
    assert (service, address) == (event.service, event.remote_ip)


@pytest.mark.parametrize(
    ("rule", "by"),
    [
        ({"networks": ["192.0.2.0/24"]}, "network"),
        ({"services": ["imap"]}, "service"),
        ({"services": ["imap"], "networks": ["192.0.2.7/32"], "dicts": ["statsdb"]}, "network_and_service"),
        ({"dicts": ["statsdb"]}, "dict"),
    ],
)
def test_dropped(rule: dict[str, Any], by: str) -> None:
    """A dropped login is a value of its own that names what was looked at; others stay logins."""
    rule["action"] = "drop"
    assert Dropped(by) == _interpret([rule], "imap/u/192.0.2.7")  # type: ignore[arg-type]
    assert by in DROP_REASONS
    # Even with a time that makes no login: nobody wants it.
    assert Dropped(by) == _interpret([rule], "imap/u/192.0.2.7", value=b"abc")  # type: ignore[arg-type]
    if by != "dict":
        assert isinstance(_interpret([rule], "pop3/u/192.0.3.7"), LoginEvent)


def test_rules_of_another_dict() -> None:
    """A dict that no rule is about has none, and its logins cost nothing more."""
    rules = [RuleSettings(dicts=["other"], service="x")]

    assert LoginRules(rules, "other")
    assert not LoginRules(rules, "statsdb")
    assert not LoginRules(rules, None)


def test_a_login_that_a_rule_keeps_is_not_dropped_below() -> None:
    """Exceptions stand above."""
    rules = [{"networks": ["192.0.2.9/32"], "action": "keep"}, {"networks": ["192.0.2.0/24"], "action": "drop"}]

    assert isinstance(_interpret(rules, "imap/u/192.0.2.9"), LoginEvent)
    assert isinstance(_interpret(rules, "imap/u/192.0.2.8"), Dropped)


@pytest.mark.parametrize(
    ("rule", "key", "more", "dict_key", "attributes"),
    [
        (OMIT, "imap/u/192.0.2.7", [], "imap/u/", {}),
        (OMIT, "imap/u/::ffff:192.0.2.7", [], "imap/u/", {}),
        (TRUNCATE, "imap/u/192.0.2.7", [], "imap/u/192.0.2.0", {}),
        (TRUNCATE, "imap/u/2001:DB8:1:2:0::3", [], "imap/u/2001:db8:1::", {}),
        (OMIT, "imap/u/access", [("shared/ip", "192.0.2.7")], "imap/u/access", {}),
        (
            TRUNCATE,
            "imap/u/access",
            [("shared/ip", "192.0.2.7"), ("shared/peer", "192.0.2.7:993"), ("shared/10.9.8.7", "[2001:db8::7]")],
            "imap/u/access",
            {"peer": "192.0.2.0:993", "10.9.8.0": "[2001:db8::]"},
        ),
        (OMIT, "imap/u", [("shared/last-login/imap/u/real", "by 198.51.100.7")], "imap/u", {"real": "by "}),
    ],
)
def test_a_hidden_address_is_nowhere_in_the_event(
    rule: dict[str, Any], key: str, more: list[tuple[str, str]], dict_key: str, attributes: dict[str, str]
) -> None:
    """Not in the key, not in a field, and the id cannot be tried out for it: it is one of what is recorded."""
    event = _interpret([rule], key, *more)

    assert isinstance(event, LoginEvent)
    assert (f"shared/last-login/{dict_key}", attributes) == (event.dict_key, event.attributes)
    other = _interpret([rule], key.replace("2.7", "2.8"), *((name, text.replace("2.7", "2.8")) for name, text in more))
    assert event == other


def test_a_user_called_like_an_address_stays() -> None:
    """It is the client's address that is hidden."""
    event = _interpret([OMIT], "imap/192.0.2.7/192.0.2.7", user="192.0.2.7")

    assert isinstance(event, LoginEvent)
    assert ("192.0.2.7", "shared/last-login/imap/192.0.2.7/") == (event.user, event.dict_key)


@pytest.mark.parametrize(
    ("rules", "key", "more", "kept"),
    [
        ([OMIT], "imap/other/192.0.2.7", [], ["shared/last-login/imap/other/"]),
        ([TRUNCATE], "imap/other/192.0.2.7", [], ["shared/last-login/imap/other/192.0.2.0"]),
        ([OMIT], "imap/u/192.0.2.7/x", [], ["shared/last-login/imap/u//x"]),
        ([OMIT], "x/y/z/2001:db8::7", [("shared/ip", "192.0.2.7")], ["shared/last-login/x/y/z/", "shared/ip"]),
        # Perhaps a login of that service.
        ([{"services": ["pop3"], **OMIT}], "what/192.0.2.7", [], ["shared/last-login/what/"]),
        ([TRUNCATE, {"services": ["pop3"], **OMIT}], "what/192.0.2.7", [], ["shared/last-login/what/"]),
        ([OMIT, {"services": ["pop3"], **TRUNCATE}], "what/192.0.2.7", [], ["shared/last-login/what/"]),
        ([{"networks": ["192.0.2.0/24"], **OMIT}], "x/192.0.2.7/192.0.3.7", [], ["shared/last-login/x//192.0.3.7"]),
        ([OMIT], "what/999.0.2.7", [], ["shared/last-login/what/999.0.2.7"]),
        ([WEBMAIL], "what/192.0.2.7", [], ["shared/last-login/what/192.0.2.7"]),
    ],
)
def test_a_hidden_address_is_not_in_the_quarantine_either(
    rules: list[dict[str, Any]], key: str, more: list[tuple[str, str]], kept: list[str]
) -> None:
    """What is put aside is as received but for the addresses that rules hide; keys that nobody understood, too."""
    raw = _interpret(rules, key, *more)

    assert isinstance(raw, RawWrite)
    assert kept == [entry.decode() for entry, _ in raw.entries]
    assert all(b"192.0.2.7" not in value for _, value in raw.entries)


def test_users_in_a_quarantined_key() -> None:
    """A user called like an address stays, one that is the beginning of an address hides nothing of it."""
    [(key, _)] = _interpret([OMIT], "imap/192.0.2.7/192.0.2.7/x", user="192.0.2.7").entries
    assert b"shared/last-login/imap/192.0.2.7//x" == key
    [(key, _)] = _interpret([OMIT], "what/192.0.2.7", user="192").entries
    assert b"shared/last-login/what/" == key
    [(key, _)] = _interpret([OMIT], "what/192.0.2.7", user="").entries
    assert b"shared/last-login/what/" == key


def test_a_dict_that_is_gone_hides_as_all_dicts_do() -> None:
    """What comes for it yet is put aside as the rules for all dicts want it."""
    rules = event_rules(rules=[RuleSettings(address="omit")])
    raw = rules.interpret(CommittedWrite(b"u", "gone", ((b"shared/last-login/imap/u/192.0.2.7", AT),)), 5)

    assert isinstance(raw, RawWrite)
    assert ((b"shared/last-login/imap/u/", AT),) == raw.entries


@given(st.ip_addresses(), st.sampled_from(["{}", "x/{}/y", "a b {} c", "[{}]:25", "{}/"]))
def test_no_address_survives(address: object, around: str) -> None:
    """Whatever stands around it."""
    rules = LoginRules([RuleSettings(address="omit")], "statsdb")

    assert around.format("").encode() == rules.hide(around.format(address).encode())


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("deadbeef1234::7", "deadbeef1234::7"),
        ("20260101.1.2.3", "20260101.1.2.3"),
        ("1.2.3.4567", "1.2.3.4567"),
        ("12:34:56", "12:34:56"),
        ("a192.0.2.7z", "az"),
        ("192.0.2.7fe80::7", ""),
        ("192.0.2.7::7", ""),
        ("192.0.2.7.198.51.100.7", "."),
    ],
)
def test_what_looks_like_an_address(text: str, hidden: str) -> None:
    """What is none stays, as a whole; what is one is hidden without anything around it, too."""
    assert hidden == LoginRules([RuleSettings(address="omit")], "statsdb").hide(text.encode()).decode()


@pytest.mark.parametrize("text", ["1", "a", "1.", "1:", ":", "1a", "1.1.1.1a:"])
@pytest.mark.parametrize("around", ["{}", "a:{}", "{}:1", "{}.1", "::{}"])
def test_the_longest_key_takes_no_time(text: str, around: str) -> None:
    """Looking for addresses in what only looks like some takes as long as it is long, not the square of it."""
    rules = LoginRules([RuleSettings(address="omit")], "statsdb")
    data = around.format(text * (65_536 // len(text))).encode()
    started_at = time.process_time()
    rules.hide(data)

    assert time.process_time() - started_at < 1


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("2001:DB8::/32", "2001:db8::/32"),
    ],
)
def test_networks(text: str, meant: str) -> None:
    """An address alone is a network of one; an IPv4-mapped one is what its clients are recorded as."""
    assert meant == str(network(text))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("192.0.2.7/24", "192.0.2.7/24 is an address within 192.0.2.0/24"),
        ("192.0.2/24", "must be networks such as"),
        ("example.org", "must be networks such as"),
    ],
)
def test_what_is_no_network(text: str, sentence: str) -> None:
    """A network that means another one than it looks like is refused."""
    with pytest.raises(ValueError, match=sentence):
        network(text)
