"""What the doctor reads in Dovecot's configuration, and what it says of it."""

from dataclasses import replace

import pytest

from lastlogin_producer.doctor.doveconf import Account, Configuration, DictTarget, Scope, parse
from lastlogin_producer.doctor.dovecot import CannotExpandError, Producer, judge, sample_key
from lastlogin_service.doctor.report import Level, Line


# As `doveconf -nP` of Dovecot 2.3.19 prints it, shortened.
DOVECOT_23 = """\
# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf
# Pigeonhole version 0.5.19 (4eae2f79)
base_dir = /var/run/dovecot/
mail_access_groups = dicts
mail_gid = vmail
mail_location = maildir:~/{mail
mail_uid = vmail
passdb {
  driver = pam
}
plugin {
  last_login_dict = proxy:/run/lastlogin/dict.sock:statsdb
  last_login_key = last-login/%s/%u
  last_login_precision = ms
}
protocols = imap pop3 lmtp sieve
service lmtp {
  inet_listener lmtp {
    port = 24
  }
}
protocol imap {
  mail_plugins = " quota last_login"
}
protocol pop3 {
  mail_plugins = "last_login"
}
protocol lmtp {
  mail_plugins = " sieve last_login"
}
remote 192.0.2.0/24 {
  plugin {
    last_login_key = last-login/webmail/%u/%r
  }
  protocol imap {
    plugin {
      last_login_precision = us
    }
  }
}
"""

# As 2.4's documentation has it.
DOVECOT_24 = """\
# 2.4.1-4 (7d8c0e5759): /etc/dovecot/dovecot.conf
dovecot_config_version = 2.4.1
last_login_dict {
  dict proxy {
    name = statsdb
    socket_path = /run/lastlogin/dict.sock
  }
}
last_login_key = last-login/%{service}/%{user}/%{remote_ip}
last_login_precision = ms
mail_plugins {
  last_login = yes
  quota = yes
}
protocols {
  imap = yes
  lmtp = yes
  pop3 = no
}
protocol imap {
  mail_plugins {
    imap_quota = yes
  }
}
userdb static {
  fields {
    home = /var/mail/%{user}
    uid = 5000
    gid = 5001
  }
}
"""

TARGET = DictTarget("proxy", "/run/lastlogin/dict.sock", "statsdb")


def misfit(dict_name: str, key: str, user: str) -> str | None:
    """Keys with a service are logins in the dict statsdb."""
    parts = key.split("/")
    fits = dict_name == "statsdb" and len(parts) in {3, 4} and parts[0] == "last-login" and parts[2] == user
    return None if fits else "the key fits no configured pattern"


PRODUCER = Producer("/run/lastlogin/dict.sock", ["statsdb"], misfit, lambda path: path.replace("/var/run/", "/run/"))
GOOD = parse(DOVECOT_23)


def found(configuration: Configuration) -> list[tuple[str, str, str]]:
    """Check, level and what was found, of what is not ok."""
    return [
        (line.check, line.level, line.found) for line in judge(configuration, PRODUCER) if line.level is not Level.OK
    ]


def with_plugin(**settings: str | None) -> Configuration:
    """The good configuration with other settings for everybody, and without any other scope."""
    return replace(GOOD, scopes=[replace(GOOD.scopes[0], **settings)])  # type: ignore[arg-type]


def test_configuration_of_2_3() -> None:
    """Plugins, dict, keys and precision are read for everybody and for parts of the clients, beside uid and groups."""
    assert (2, 3) == GOOD.version
    assert "/var/run/dovecot" == GOOD.base_dir
    assert {"imap": True, "lmtp": True, "pop3": True, "sieve": False} == GOOD.protocols
    assert Account("vmail", "vmail", ("dicts",)) == GOOD.account
    assert [scope for scope in GOOD.scopes if not scope.where.startswith("protocol")] == [
        Scope("", TARGET, "last-login/%s/%u", "ms"),
        Scope("remote 192.0.2.0/24", None, "last-login/webmail/%u/%r", None),
        Scope("remote 192.0.2.0/24 protocol imap", None, None, "us"),
    ]
    assert [] == found(GOOD)


def test_configuration_of_2_4() -> None:
    """The same in 2.4's syntax, where a protocol's plugins are added to everybody's."""
    configuration = parse(DOVECOT_24)

    assert (2, 4) == configuration.version
    assert {"imap": True, "lmtp": True} == configuration.protocols
    assert Account("5000", "5001") == configuration.account
    assert Scope("", TARGET, "last-login/%{service}/%{user}/%{remote_ip}", "ms") == configuration.scopes[0]
    assert [] == found(configuration)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (
            "last_login_dict {\n dict proxy {\n dict_proxy_name = a\n dict_proxy_socket_path = b\n }\n}",
            ("proxy", "b", "a"),
        ),
        ("last_login_dict {\n dict x {\n driver = redis\n }\n}", ("redis", None, "x")),
        ("last_login_dict {\n other y {\n }\n}", None),
        ("last_login_dict = proxy::statsdb", ("proxy", None, "statsdb")),
        ("last_login_dict = redis:host=127.0.0.1", ("redis", "host=127.0.0.1", "")),
        ("}\nnonsense\n{\n", None),
        ("", None),
    ],
)
def test_targets(text: str, target: tuple[str, str | None, str] | None) -> None:
    """`last_login_dict` in its forms; whatever else is printed, nothing is raised."""
    assert parse(text).scopes[0].target == (None if target is None else DictTarget(*target))


def test_defaults() -> None:
    """Of an empty configuration: three protocols without the plugin, users from the userdb."""
    configuration = parse("")

    assert {"imap": False, "lmtp": False, "pop3": False} == configuration.protocols
    assert ("/run/dovecot", Account(None, None)) == (configuration.base_dir, configuration.account)
    assert Account("vmail", "mail") == parse("userdb {\n args = uid=vmail gid=mail home=/x\n}").account


def test_quotes_and_hidden_values() -> None:
    """Quotes are taken off, what doveconf hides counts as not set."""
    text = 'plugin {\n last_login_key = "a\\"b"\n last_login_precision = # hidden, use -P to show it\n}'

    assert ('a"b', None) == (parse(text).scopes[0].key, parse(text).scopes[0].precision)


def test_a_protocol_of_its_own_in_2_3() -> None:
    """In 2.3 a protocol's list is all that it has; without one it has everybody's."""
    text = "mail_plugins = last_login\nprotocol imap {\n mail_plugins = quota\n}"

    assert {"imap": False, "lmtp": True, "pop3": True} == parse(text).protocols


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("last-login/%s/%u/%r", "last-login/imap/user@example.org/192.0.2.1"),
        ("%n-%d-%l-%%", "user-example.org-192.0.2.2-%"),
        ("%Lu/%Us", "user@example.org/IMAP"),
        ("%{service}/%{user}/%{remote_ip}", "imap/user@example.org/192.0.2.1"),
        ("%{user | domain | upper}/%{user|username}", "EXAMPLE.ORG/user"),
        ("plain", "plain"),
    ],
)
def test_keys(template: str, key: str) -> None:
    """Variables of both syntaxes, short and long, with what may be done to them."""
    assert key == sample_key(template)


@pytest.mark.parametrize("template", ["%h", "%{userdb:x}", "%{user | sha1}", "%Hu"])
def test_unknown_variables(template: str) -> None:
    """What the doctor has no sample for is named, and a warning."""
    with pytest.raises(CannotExpandError, match=template[1]):
        sample_key(template)
    [(check, level, text)] = found(with_plugin(key=template))
    assert ("dovecot.key", "warning") == (check, level)
    assert f"knows no {template}" in text


@pytest.mark.parametrize(
    ("configuration", "line"),
    [
        (
            replace(GOOD, protocols=GOOD.protocols | {"lmtp": False}),
            ("dovecot.plugin", "warning", "last_login is not in mail_plugins of lmtp: deliveries are not recorded"),
        ),
        (
            replace(GOOD, protocols=GOOD.protocols | {"imap": False}),
            ("dovecot.plugin", "error", "last_login is not in mail_plugins of imap: those logins are not recorded"),
        ),
        (
            replace(GOOD, protocols={"imap": True, "pop3": False}),
            ("dovecot.plugin", "error", "last_login is not in mail_plugins of pop3: those logins are not recorded"),
        ),
        (
            replace(GOOD, protocols={"imap": False, "pop3": False, "sieve": True}),
            ("dovecot.plugin", "error", "last_login is in no protocol's mail_plugins, so that nothing is recorded"),
        ),
        (
            replace(GOOD, protocols={"imap": False}),
            ("dovecot.plugin", "error", "last_login is in no protocol's mail_plugins, so that nothing is recorded"),
        ),
        (
            with_plugin(precision="s"),
            (
                "dovecot.precision",
                "warning",
                "last_login_precision is s: of two logins within a second one cannot be told to be the newer",
            ),
        ),
        (
            with_plugin(precision=None),
            (
                "dovecot.precision",
                "warning",
                (
                    "last_login_precision is s (its default): of two logins within a second one cannot be told to "
                    "be the newer"
                ),
            ),
        ),
        (with_plugin(target=None), ("dovecot.dict", "error", "last_login_dict is not set")),
        (
            with_plugin(target=DictTarget("redis", None, "statsdb")),
            ("dovecot.dict", "error", "last_login_dict is of the driver redis"),
        ),
        (
            with_plugin(target=DictTarget("proxy", "dict-async", "statsdb")),
            (
                "dovecot.dict",
                "error",
                "last_login_dict goes to /var/run/dovecot/dict-async; the producer listens at /run/lastlogin/dict.sock",
            ),
        ),
        (
            with_plugin(target=DictTarget("proxy", None, "statsdb")),
            (
                "dovecot.dict",
                "error",
                "last_login_dict goes to /var/run/dovecot/dict; the producer listens at /run/lastlogin/dict.sock",
            ),
        ),
        (
            with_plugin(key=None),
            (
                "dovecot.key",
                "error",
                (
                    "last_login_key is last-login/%u (its default): all such logins go to the quarantine, because the "
                    "key fits no configured pattern"
                ),
            ),
        ),
        (
            with_plugin(key="logins/%s/%u"),
            (
                "dovecot.key",
                "error",
                (
                    "last_login_key is logins/%s/%u: all such logins go to the quarantine, because the key fits no "
                    "configured pattern"
                ),
            ),
        ),
    ],
)
def test_faults(configuration: Configuration, line: tuple[str, str, str]) -> None:
    """Each misconfiguration is one line that names it."""
    assert [line] == found(configuration)


@pytest.mark.parametrize(
    ("template", "advice"),
    [
        ("login/%u/%s", 'or add "login/$user/$service" to key_patterns of the producer'),
        (
            "x y/%{user}/%{protocol}/%{user | domain}",
            'or add "x y/$user/$service/$domain" to key_patterns of the producer',
        ),
        ("x/%u", 'or add "x/$user" to key_patterns of the producer, and set its default_service'),
        ("x/%n/%s", "or key_patterns and default_service of the producer"),
        ("x-%l/%u/%s", "or key_patterns and default_service of the producer"),
        ("x/%s", "or key_patterns and default_service of the producer"),
        ("x/%r/%u", "or key_patterns and default_service of the producer"),
    ],
)
def test_pattern_of_a_key(template: str, advice: str) -> None:
    """The pattern that would fit is told where it says all, and never one that the producer would refuse."""
    [line] = [line for line in judge(with_plugin(key=template), PRODUCER) if line.check == "dovecot.key"]

    assert f"set last_login_key = last-login/%s/%u/%r, {advice}" == line.do


def test_a_name_that_is_not_served() -> None:
    """The name of the dict is told, the key is not looked at."""
    lines = found(with_plugin(target=DictTarget("proxy", "/run/lastlogin/dict.sock", "stats")))

    assert [("dovecot.dict", "error"), ("dovecot.key", "warning")] == [line[:2] for line in lines]
    assert "has the name stats; the producer serves statsdb" in lines[0][2]


def test_a_socket_in_base_dir() -> None:
    """A relative socket is one in base_dir, by whatever name that is called."""
    configuration = with_plugin(target=DictTarget("proxy", "dict-async", "statsdb"))
    producer = replace(PRODUCER, socket="/run/dovecot/dict-async")

    assert {Level.OK} == {line.level for line in judge(configuration, producer)}


def test_parts_of_the_clients() -> None:
    """What is wrong for some clients only is said with whom it is for; the dict is everybody's."""
    scopes = [
        *GOOD.scopes,
        Scope("remote 198.51.100.1", None, "x/%u", "s"),
        Scope("local 192.0.2.9", DictTarget("fs", None, ""), None, None),
    ]
    lines = found(replace(GOOD, scopes=scopes))

    assert [
        ("dovecot.key", "last_login_key in remote 198.51.100.1 is x/%u"),
        ("dovecot.precision", "last_login_precision in remote 198.51.100.1 is s"),
        ("dovecot.dict", "last_login_dict in local 192.0.2.9 is of the driver fs"),
    ] == [(check, text.partition(":")[0]) for check, _, text in lines]


def test_turned_off_for_some_clients() -> None:
    """An empty dict is meant where it is for some clients, whose key nobody sees; for everybody it is an error."""
    off = "plugin {\n last_login_dict =\n last_login_key = x\n}\n"
    scopes = [*GOOD.scopes, *parse(f"remote 192.0.2.7 {{\n {off} }}").scopes[1:]]

    assert [] == found(replace(GOOD, scopes=scopes))
    assert "turned off in remote 192.0.2.7" in [line.found for line in judge(replace(GOOD, scopes=scopes), PRODUCER)]
    lines = found(replace(GOOD, scopes=parse(off).scopes))
    assert ("dovecot.dict", "error", "last_login_dict is not set") == lines[0]
    assert "dovecot.key" not in [check for check, _, _ in lines]


def test_a_protocol_that_is_not_to_be_recorded() -> None:
    """Where the dict is empty for a protocol its plugin is not missed."""
    off = parse("protocol pop3 {\n plugin {\n last_login_dict =\n }\n}\n").scopes[1:]
    configuration = replace(GOOD, protocols={"imap": True, "pop3": False}, scopes=[GOOD.scopes[0], *off])

    assert [] == found(configuration)


@pytest.mark.parametrize(("version", "advice"), [((2, 3), "$mail_plugins last_login"), ((2, 4), "last_login = yes")])
def test_advice(version: tuple[int, int], advice: str) -> None:
    """What to do is said in the syntax of the version that runs."""
    configuration = replace(with_plugin(target=None), version=version, protocols={"imap": False})
    lines: list[Line] = judge(configuration, PRODUCER)

    lacking = judge(replace(configuration, protocols={"imap": True, "pop3": False}), PRODUCER)
    assert any(advice in line.do for line in lines)
    assert (version < (2, 4)) == any("protocol pop3 { plugin { last_login_dict = } }" in line.do for line in lacking)
    assert any(("socket_path" if version == (2, 4) else "proxy:/run") in line.do for line in lines)
