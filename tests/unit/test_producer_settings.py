"""What can be configured of the producer, and how mistakes are told."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from lastlogin_producer.main import main
from lastlogin_producer.settings import ProducerSettings, SocketSettings
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.settings import load


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
    file.write_text(KAFKA + '[dicts]\nkey_patterns = ["last-login/$servcie/$user"]\n', encoding="utf-8")
    result = CliRunner().invoke(main, ["--config", str(file), "--check-config"])

    assert CONFIG == result.exit_code
    assert "dicts.key_patterns" in result.output
    assert "$servcie is not one of $user, $service and $ip" in result.output


def test_every_pattern_that_cannot_work_is_told(tmp_path: Path) -> None:
    """Not only the first one."""
    told = problems(tmp_path, '[dicts]\nkey_patterns = ["a/$user/$user", "a/$ip/$user"]\n')

    assert 2 == len(told)
    assert "must have $user once" in told[0]
    assert "$ip must come last" in told[1]


def test_a_pattern_without_service_needs_a_default(tmp_path: Path) -> None:
    """The plugin's own default key names no service."""
    [told] = problems(tmp_path, '[dicts]\nkey_patterns = ["last-login/$user"]\n')

    assert told.startswith("dicts.default_service")
    assert "a default service is needed" in told


@pytest.mark.parametrize(
    ("toml", "key"),
    [
        ('backend = "a/b"\n', "backend"),
        ('[socket]\npath = "dict.sock"\n', "socket.path"),
        (f'[socket]\npath = "/{"x" * 107}"\n', "socket.path"),
        ('[socket]\nmode = "rw-rw----"\n', "socket.mode"),
        ('[socket]\nowner = "no-such-user"\n', "socket.owner"),
        ('[socket]\ngroup = "no-such-group"\n', "socket.group"),
        ('[socket]\nallowed_users = ["root", "no-such-user"]\n', "socket.allowed_users"),
        (f'[socket]\npath = "/{"x" * 99}"\n', "socket.path"),
        ('[dicts]\nnames = ["a\\tb"]\n', "dicts.names"),
        ('[spool]\ndirectory = "spool"\n', "spool.directory"),
        ("[spool]\nmax_rows = 0\n", "spool.max_rows"),
        ('[publisher]\ncompression = "snappy"\n', "publisher.compression"),
        ("[publisher]\nschema_ids = { LoginEvent = 0 }\n", "publisher.schema_ids.LoginEvent"),
        ("[publisher]\nschema_ids = { Login = 1 }\n", "publisher.schema_ids.Login"),
        ("[shutdown]\ndeadline_s = -1\n", "shutdown.deadline_s"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, toml: str, key: str) -> None:
    """One line names the key and what is allowed."""
    [told] = problems(tmp_path, toml)

    assert told.startswith(key)


def test_users_who_may_connect() -> None:
    """They are named or numbered; without any everybody whom the mode lets in may."""
    assert frozenset({0, 5000}) == SocketSettings(allowed_users=["root", "5000"]).allowed_uids
    assert SocketSettings().allowed_uids is None
