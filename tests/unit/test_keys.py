"""Key patterns: whose key it is, and what else it says; in the user's words or in the key's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastlogin_producer.dict_keys import DictKeys, Login
from lastlogin_producer.fields import UnusableError
from lastlogin_producer.keys import KeyPattern
from lastlogin_producer.rule_settings import DictSettings


def _keys(*patterns: str, **settings: object) -> DictKeys:
    return DictKeys(DictSettings.model_validate(({"key_patterns": patterns} if patterns else {}) | settings))


def _read(keys: DictKeys, key: str, user: str) -> Login | str:
    """What the key says, or the reason why it says nothing."""
    try:
        found = keys.find(f"shared/{key}".encode(), user.encode())
        return found or keys.unusable(f"shared/{key}".encode(), user=user.encode()).reason
    except UnusableError as unusable:
        return unusable.reason


@pytest.mark.parametrize(
    ("pattern", "user", "key", "found"),
    [
        ("last-login/$service/$user/$domain", "u@x.org", "last-login/imap/u@x.org/x.org", ("imap", None)),
        ("last-login/$service/$user/$domain", "u@x.org", "last-login/imap/u@x.org/", ("imap", None)),
        ("last-login/$service/$user/$domain", "u", "last-login/imap/u/", ("imap", None)),
        ("last-login/$service/$user/$domain", "u@x.org", "last-login/imap/u@x.org/y.org", "key_mismatch"),
        ("last-login/$service/$user/$domain", "u@x.org", "last-login/imap/u@x.org/x.or", "key_mismatch"),
        ("last-login/$service/$user/$domain", "u@x.org", "last-login/imap/u@x.org/x.org1", "key_mismatch"),
        ("last-login/$service/$user/$domain", "u@x.org", "last-login/imap/u@x.org", "bad_key"),
        ("last-login/$service/$user/$domain", "a@b@x", "last-login/imap/a@b@x/b@x", ("imap", None)),
        ("last-login/$service/$user/$domain", "a@b@x", "last-login/imap/a@b@x/x", ("imap", None)),
        ("$domain/$service/$user/$ip", "u@x.org", "x.org/imap/u@x.org/192.0.2.1", ("imap", "192.0.2.1")),
        ("$domain/$service/$user/$ip", "u@x.org", "/imap/u@x.org/192.0.2.1", ("imap", "192.0.2.1")),
        ("x/$service/$user@$domain", "u@x.org", "x/imap/u@x.org", ("imap", None)),
        ("x/$service/$user/access", "u", "x/imap/u/access", ("imap", None)),
        ("x/$service/$user/access", "u", "x/imap/u/other", "bad_key"),
        ("x/$user/$service", "a/b", "x/a/b/imap", ("imap", None)),
    ],
)
def test_around_the_user(pattern: str, user: str, key: str, found: tuple[str, str | None] | str) -> None:
    """A pattern is read around the transaction's user; `$domain` is that user's own, or nothing."""
    login = _read(_keys(pattern), key, user)

    assert found == (login if isinstance(login, str) else login[1:3])
    assert isinstance(login, str) or user.encode() == login[0]


def test_old_keys_of_iredmail() -> None:
    """`last-login/%u/%d` has no service; the configured one stands in."""
    keys = _keys("last-login/$user/$domain", default_service="imap")

    assert (b"u@x.org", "imap", None, None) == _read(keys, "last-login/u@x.org/x.org", "u@x.org")


def test_an_address_is_never_taken_for_something_else() -> None:
    """The last part is an address, `access`, or the user's domain, whatever the order of the patterns."""
    patterns = [
        "last-login/$service/$user/$ip",
        "last-login/$service/$user/access",
        "last-login/$service/$user/$domain",
    ]
    for keys in (_keys(*patterns), _keys(*reversed(patterns))):
        found = [
            _read(keys, f"last-login/imap/u@x/{end}", "u@x") for end in ("192.0.2.1", "access", "x", "", "::1", "y")
        ]

        addresses = [each if isinstance(each, str) else each[2] for each in found]
        assert ["192.0.2.1", None, None, None, "::1", "bad_address"] == addresses


@pytest.mark.parametrize(
    ("patterns", "key", "found"),
    [
        (["last-login/$service/$user/$ip"], "last-login/imap/Joe/192.0.2.1", ("Joe", "192.0.2.1")),
        (["last-login/$service/$user/$ip"], "last-login/imap/a/b/192.0.2.1", "bad_address"),
        (["last-login/$service/$user"], "last-login/imap/a/b", ("a/b", None)),
        (["last-login/$service/$user"], "last-login/imap/", "bad_key"),
        (["last-login/$service/$domain/$user"], "last-login/imap/x.org/joe", ("joe@x.org", None)),
        (["last-login/$service/$domain/$user"], "last-login/imap//joe", ("joe", None)),
        (["last-login/$service/$domain/$user"], "last-login/imap/x.org/joe@x.org", ("joe@x.org", None)),
        (["last-login/$service/$domain/$user"], "last-login/imap/x.org/joe@y.org", "key_mismatch"),
        (["last-login/$service/$user@$domain"], "last-login/imap/joe@x.org", ("joe@x.org", None)),
        (["last-login/$service/$user@$domain"], "last-login/imap/joe@", ("joe", None)),
        (["last-login/$service/$user@$domain/$ip"], "last-login/imap/joe@x.org/::1", ("joe@x.org", "::1")),
        (["last-login/$service/$user@$domain/$ip"], "last-login/imap/joe/::1", "key_mismatch"),
        # The defaults: with an address, without, with fields beside.
        ([], "last-login/imap/joe/192.0.2.1", ("joe", "192.0.2.1")),
        ([], "last-login/imap/joe", ("joe", None)),
        ([], "last-login/imap/joe/access", ("joe", None)),
        ([], "last-login/imap/a/b", "bad_address"),
        ([], "last-login/imap/a/b/access", "bad_address"),
        ([], "last-login/imap/a/b/192.0.2.1", "bad_address"),
    ],
)
def test_the_user_of_the_key(patterns: list[str], key: str, found: tuple[str, str | None] | str) -> None:
    """With `user_from = "key"` the user is what stands at `$user`; a slash never makes it another's, or half a name."""
    login = _read(_keys(*patterns, user_from="key"), key, "whoever")

    assert found == (login if isinstance(login, str) else (login[0].decode(), login[2]))


def test_the_user_of_the_key_with_a_slash_as_dovecot_says() -> None:
    """With `user_from = "key"`, too, the whole of the transaction's own user is its user."""
    assert (b"a/b", "imap", None, None) == _read(_keys(user_from="key"), "last-login/imap/a/b", "a/b")


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("last-login/$service", "must have \\$user once"),
        ("$user/$user", "must have \\$user once"),
        ("$user/$user@$domain", "must have \\$user once"),
        ("$domain/$user@$domain", "must have \\$user once"),
        ("$ip/$user", "\\$ip must come last"),
        ("last-login/$name/$user", "\\$name is not one of \\$user, \\$service, \\$ip, \\$domain"),
        ("last-login/x$user", "x\\$user is not one of"),
    ],
)
def test_patterns_that_cannot_work(pattern: str, sentence: str) -> None:
    """A wrong pattern is refused with what is wrong in it."""
    with pytest.raises(ValueError, match=sentence):
        KeyPattern(pattern)


class _Section:
    """A dict's settings that nobody has looked at."""

    user_from = "begin"

    def __init__(self, key_patterns: list[str], default_service: str | None = None) -> None:
        self.key_patterns = key_patterns
        self.default_service = default_service


def test_keys_that_cannot_work() -> None:
    """Without patterns, or without a service for a key that has none, nothing can be read."""
    with pytest.raises(ValueError, match="at least one"):
        DictKeys(_Section([]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="so a default service is needed"):
        DictKeys(_Section(["last-login/$user"]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 to 64 bytes"):
        DictKeys(_Section(["last-login/$user"], "a/b"))  # type: ignore[arg-type]


name = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(name, name, st.sampled_from(["", "/", "/192.0.2.1", "/::1", "/access", "/x"]))
def test_never_another_user(user: str, other: str, end: str) -> None:
    """A key made for one user is read as that of no other, but where both names and ends make the same key."""
    login = _read(_keys(), f"last-login/imap/{other}{end}", user)

    if not isinstance(login, str):
        assert f"{other}{end}".startswith(user)
        assert user.encode() == login[0]
