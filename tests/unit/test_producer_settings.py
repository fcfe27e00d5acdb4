"""What can be configured of the producer, and how mistakes are told."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from lastlogin_producer.doctor import host
from lastlogin_producer.listener import SocketFile
from lastlogin_producer.main import main
from lastlogin_producer.rule_settings import without_column
from lastlogin_producer.settings import ProducerSettings, SocketSettings
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.settings import load
from lastlogin_service.subcommand import Source


KAFKA = '[kafka]\nbootstrap_servers = ["kafka1:9092"]\n'


def problems(tmp_path: Path, toml: str) -> list[str]:
    """The lines that a start with this file would print, without the file's name."""
    file = tmp_path / "producer.toml"
    # Keys of no table must come first in a file.
    file.write_text(toml + KAFKA, encoding="utf-8")
    with pytest.raises(Exit) as raised:
        load(ProducerSettings, file, {})
    assert CONFIG == raised.value.code
    return [line.removeprefix(f"{file}: ") for line in raised.value.message.splitlines()]


def test_an_unknown_pattern_variable_is_told_with_the_known_ones(tmp_path: Path) -> None:
    """`--check-config` finds a pattern that cannot work, and says which variables there are."""
    file = tmp_path / "producer.toml"
    file.write_text(KAFKA + '[dicts.statsdb]\nkey_patterns = ["last-login/$servcie/$user"]\n', encoding="utf-8")
    result = CliRunner().invoke(main, ["--config", str(file), "--check-config"])

    assert CONFIG == result.exit_code
    assert "dicts.statsdb.key_patterns" in result.output
    assert "$servcie is not one of $user, $service, $ip, $domain and $user@$domain" in result.output


def test_every_pattern_that_cannot_work_is_told(tmp_path: Path) -> None:
    """Not only the first one."""
    told = problems(tmp_path, '[dicts.statsdb]\nkey_patterns = ["a/$user/$user", "a/$ip/$user"]\n')

    assert 2 == len(told)
    assert "must have $user once" in told[0]
    assert "$ip must come last" in told[1]


def test_a_pattern_without_service_needs_a_default(tmp_path: Path) -> None:
    """The plugin's own default key names no service."""
    [told] = problems(tmp_path, '[dicts.statsdb]\nkey_patterns = ["last-login/$user"]\n')

    assert told.startswith("dicts.statsdb.default_service")
    assert "a default service is needed" in told


@pytest.mark.parametrize(
    ("toml", "key"),
    [
        ('backend = "a/b"\n', "backend"),
        ('[socket]\npath = "dict.sock"\n', "socket.path"),
        (f'[socket]\npath = "/{"x" * 107}"\n', "socket.path"),
        ('[socket]\npath = "/run/a\\u0000b"\n', "socket.path"),
        ('[socket]\nowner = "a\\u0000b"\n', "socket.owner"),
        ('[socket]\nallowed_users = ["a\\u0000b"]\n', "socket.allowed_users"),
        ('[metrics]\naddress = "a..b"\n', "metrics.address"),
        *(
            (f"[socket]\nmode = {mode}\n", f'socket.mode: {mode} - must be an octal mode in quotes, such as "0660"')
            for mode in ('"rw-rw----"', "660", '"0o660"', '"00660"', '"0680"', "true")
        ),
        ('[socket]\nowner = "no-such-user"\n', "socket.owner"),
        ('[socket]\ngroup = "no-such-group"\n', "socket.group"),
        ('[socket]\nallowed_users = ["root", "no-such-user"]\n', "socket.allowed_users"),
        (f'[socket]\npath = "/{"x" * 99}"\n', "socket.path"),
        ('[dicts."a/b"]\n', "dicts: {...} - a/b: must be the name of a dict"),
        ("[dicts]\n", "dicts"),
        ('[dicts.statsdb]\nuser_from = "hello"\n', "dicts.statsdb.user_from"),
        ('[dicts.statsdb]\ndefault_service = "a/b"\n', "dicts.statsdb.default_service"),
        ('[[rules]]\nservice = ""\n', "rules[0].service"),
        ('[[rules]]\nnetworks = ["192.0.2.0/24"]\n', "rules[0].action: not given - the rule does nothing"),
        ('[[rules]]\nnetworks = ["192.0.2.7/24"]\naction = "drop"\n', "rules[0].networks[0]"),
        ('[[rules]]\nnetworks = []\naction = "drop"\n', "rules[0].networks"),
        ('[[rules]]\naction = "drop"\n', "rules[0].action"),
        ('[[rules]]\nservices = ["imap"]\naction = "drop"\naddress = "omit"\n', "rules[0].action"),
        ('[[rules]]\ndicts = ["other"]\naddress = "omit"\n', "rules: [...] - other is not one of [dicts]"),
        ('[[rules]]\naddress = "hide"\n', "rules[0].address"),
        ('[users]\ndefault_domain = "a@b"\n', "users.default_domain"),
        ('[spool]\ndirectory = "spool"\n', "spool.directory"),
        ('[spool]\ndirectory = "/var/a\\u0000b"\n', 'spool.directory: "/var/a\\u0000b" - must not contain a NUL'),
        ("[spool]\nmax_rows = 0\n", "spool.max_rows"),
        ('[publisher]\ncompression = "snappy"\n', "publisher.compression"),
        ("[publisher]\nschema_ids = { LoginEvent = 0 }\n", "publisher.schema_ids.LoginEvent"),
        ("[publisher]\nschema_ids = { LoginEvent = true }\n", "publisher.schema_ids.LoginEvent"),
        ("[publisher]\nschema_ids = { Login = 1 }\n", "publisher.schema_ids.Login"),
        ("[shutdown]\ndeadline_s = -1\n", "shutdown.deadline_s"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, toml: str, key: str) -> None:
    """One line names the key and what is allowed."""
    [told] = problems(tmp_path, toml)

    assert told.startswith(key)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_mode_without_quotes_that_begins_with_0(tmp_path: Path, end: str) -> None:
    """TOML has no such numbers: the place is told, and what to write; other faults of TOML are told as before."""
    told = problems(tmp_path, f"[socket]{end}mode = 0660{end}")
    others = [problems(tmp_path, text)[0] for text in ("x = 1.0.6\n", "=\n")]

    what = 'a number cannot begin with 0; what is no number, such as the mode "0660", goes into quotes'
    assert [f"line 2, column 9: not valid TOML: {what}"] == told
    assert not [line for line in others if what in line]


@pytest.mark.parametrize("mode", ["0660", "660"])
def test_modes(mode: str) -> None:
    """Three octal digits, with a 0 before them or without, are one mode; a variable has no quotes to miss."""
    variables = {"KAFKA__BOOTSTRAP_SERVERS": "kafka1:9092", "SOCKET__MODE": mode}
    settings = load(ProducerSettings, None, {f"LASTLOGIN_PRODUCER_{name}": value for name, value in variables.items()})

    assert 0o660 == SocketFile.of(settings.socket).mode


def test_users_who_may_connect() -> None:
    """They are named or numbered; without any everybody whom the mode lets in may."""
    assert frozenset({0, 5000}) == SocketSettings(allowed_users=["root", "5000"]).allowed_uids
    assert SocketSettings().allowed_uids is None


@pytest.mark.parametrize(
    ("toml", "keys"),
    [
        ('[[rules]]\nservice = "webmail"\n[[rules]]\naddress = "omit"\n', []),
        ('[[rules]]\nservice = "lmtp"\n[[rules]]\nservice = "webmial"\n', ["rules[1].service: webmial"]),
        ('[dicts.statsdb]\ndefault_service = "imaps"\n', ["dicts.statsdb.default_service: imaps"]),
        (
            '[dicts.statsdb]\ndefault_service = "imaps"\n[[rules]]\nservices = ["imaps"]\nservice = "imap"\n',
            [],
        ),
        (
            '[[rules]]\nservices = ["other"]\nservice = "imap"\n[[rules]]\nservice = "other"\n',
            ["rules[1].service: other"],
        ),
    ],
)
def test_services_without_a_column(tmp_path: Path, toml: str, keys: list[str]) -> None:
    """A service that the consumer skips is told with its key, unless a later rule is about it."""
    file = tmp_path / "producer.toml"
    file.write_text(KAFKA + toml, encoding="utf-8")
    settings = load(ProducerSettings, file, {})
    told = list(without_column(settings.dicts, settings.rules))

    assert keys == [
        sentence.partition(" - the table as delivered has columns for imap, pop3, webmail, lmtp only")[0]
        for sentence in told
    ]
    configured = [line for line in host.configuration(Source(ProducerSettings, file))[1] if line.level == "warning"]
    assert len(told) == len([line for line in configured if line.check == "configuration"])


def test_dicts_and_rules_from_the_environment() -> None:
    """A container needs no file: a dict's keys are variables of their own, the rules one, as JSON."""
    settings = load(
        ProducerSettings,
        None,
        {
            "LASTLOGIN_PRODUCER_KAFKA__BOOTSTRAP_SERVERS": "kafka1:9092",
            "LASTLOGIN_PRODUCER_DICTS__STATSDB__KEY_PATTERNS": "last-login/$user,last-login/$service/$user",
            "LASTLOGIN_PRODUCER_DICTS__STATSDB__DEFAULT_SERVICE": "imap",
            "LASTLOGIN_PRODUCER_DICTS__OTHER__USER_FROM": "key",
            "LASTLOGIN_PRODUCER_RULES": '[{"networks": ["192.0.2.0/24"], "service": "webmail"}]',
            "LASTLOGIN_PRODUCER_USERS__LOWER_CASE": "true",
        },
    )

    assert ["last-login/$user", "last-login/$service/$user"] == settings.dicts["statsdb"].key_patterns
    assert ("imap", "key") == (settings.dicts["statsdb"].default_service, settings.dicts["other"].user_from)
    assert [("webmail", ["192.0.2.0/24"])] == [(rule.service, rule.networks) for rule in settings.rules]
    assert settings.users.lower_case


def test_a_variable_replaces_one_value_of_a_dict(tmp_path: Path) -> None:
    """What the file says of other keys and dicts stays."""
    file = tmp_path / "producer.toml"
    file.write_text(KAFKA + '[dicts.statsdb]\nuser_from = "key"\n[dicts.other]\n', encoding="utf-8")
    settings = load(ProducerSettings, file, {"LASTLOGIN_PRODUCER_DICTS__STATSDB__DEFAULT_SERVICE": "imap"})

    assert ["other", "statsdb"] == sorted(settings.dicts)
    assert ("key", "imap") == (settings.dicts["statsdb"].user_from, settings.dicts["statsdb"].default_service)
