"""The command's line: usage, configuration, and servers that are away."""

import os
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lastlogin_ops.main import main
from lastlogin_ops.program import Program
from tests.support.command import ok


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave nothing of ours in the environment but what the test gives."""
    for name in list(os.environ):
        if name.startswith("LASTLOGIN_"):
            monkeypatch.delenv(name)


def lastlogin(*arguments: str, **environ: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, arguments, env=environ)


CASSANDRA = "LASTLOGIN_CASSANDRA__CONTACT_POINTS"
KAFKA = "LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS"


def test_help() -> None:
    """Without arguments, and on request, it explains itself."""
    assert lastlogin().output == lastlogin("--help").output
    for fact in (
        "show",
        "topics",
        "quarantine",
        "dlq",
        "schema",
        "audit",
        "deploy/lastlogin.toml",
        "/etc/lastlogin/lastlogin.toml",
        "69",
        "78",
    ):
        assert fact in lastlogin("--help").output
    assert lastlogin("--version").output.startswith("lastlogin 0.")


def test_usage_errors() -> None:
    """Bad arguments are usage errors, told without asking any server."""
    for arguments in (("show",), ("show", ""), ("show", "u" * 65_536), ("show", "\udcff"), ("shwo", "u")):
        result = lastlogin(*arguments)
        assert result.exit_code == 2
        assert "Usage: " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (("show", "u"), "cassandra.contact_points, or LASTLOGIN_CASSANDRA__CONTACT_POINTS"),
        (("audit",), "kafka.bootstrap_servers, or LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS"),
        (("dlq", "list"), "kafka.bootstrap_servers, or LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS"),
        (("dlq", "replay"), "kafka.bootstrap_servers, or LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS"),
        (("dlq", "drop", "--all"), "kafka.bootstrap_servers, or LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS"),
        (("quarantine", "list"), "kafka.bootstrap_servers, or LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS"),
        (("quarantine", "show", "0:1"), "kafka.bootstrap_servers, or LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS"),
        (("schema", "plan"), "cassandra.contact_points, or LASTLOGIN_CASSANDRA__CONTACT_POINTS"),
        (("schema", "apply"), "cassandra.contact_points, or LASTLOGIN_CASSANDRA__CONTACT_POINTS"),
        (("tail",), "kafka.bootstrap_servers, or LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS"),
        (("topics", "plan"), "kafka.bootstrap_servers, or LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS"),
        (("topics", "apply"), "kafka.bootstrap_servers, or LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS"),
    ],
)
def test_part_that_is_not_configured(arguments: tuple[str, ...], key: str) -> None:
    """A subcommand whose part is not configured says which key it needs."""
    result = lastlogin(*arguments)

    assert result.exit_code == 78
    assert result.stderr == f"lastlogin: [{key.split('.', maxsplit=1)[0]}] is not configured: set {key}\n"


def test_bad_configuration(tmp_path: Path) -> None:
    """Every subcommand ends with all problems of the configuration."""
    file = tmp_path / "lastlogin.toml"
    file.write_text("[lag]\ngruop = 1\n[topics]\npartitions = 0\n")

    for arguments in (("show", "u"), ("topics", "plan"), ("--check-config",), ("--print-config",)):
        result = lastlogin("--config", str(file), *arguments)

        assert result.exit_code == 78
        assert result.stderr == (
            f"lastlogin: {file}: topics.partitions: 0 - must be a whole number, at least 1 and at most 1000\n"
            f"lastlogin: {file}: lag.gruop: unknown key - did you mean group?\n"
        )


@pytest.mark.parametrize("subcommand", [("show", "u"), ("schema", "plan"), ("schema", "apply"), ("audit",)])
@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('contact_points = ["127.0.0.1"]\nkeyspace = "x; DROP"', "cassandra.keyspace"),
        ('contact_points = ["127.0.0.1"]\ntable = "a\\"b"', "cassandra.table"),
        ('contact_points = ["127.0.0.1"]\ntable = "Weird Name"', "cassandra.table"),
        ('contact_points = ["127.0.0.1"]\nkeyspaces = "x"', "cassandra.keyspaces"),
        ('keyspace = "x"', "cassandra.contact_points"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, subcommand: tuple[str, ...], text: str, key: str) -> None:
    """Each command that asks Cassandra refuses them before it does, and names the key."""
    file = tmp_path / "lastlogin.toml"
    file.write_text(f"[cassandra]\n{text}\n")
    result = lastlogin("--config", str(file), *subcommand, **{KAFKA: "127.0.0.1:9"})
    assert result.exit_code == 78
    assert f"{file}: {key}: " in result.stderr


def test_good_configuration(tmp_path: Path) -> None:
    """A good configuration is said to be so, with a warning where everybody can read its secrets, and printed."""
    file = tmp_path / "lastlogin.toml"
    file.write_text('[cassandra]\ncontact_points = ["c"]\nusername = "u"\npassword = "hunter2"\n')
    file.chmod(0o644)

    result = lastlogin("--config", str(file), "--check-config")

    assert (result.exit_code, result.stdout) == (0, f"{file}: ok\n")
    assert result.stderr == (
        f"lastlogin: warning: {file}: every user of this machine can read the secret password in it\n"
    )
    assert lastlogin("--check-config").output == ok("lastlogin")
    printed = tomllib.loads(lastlogin("--config", str(file), "--print-config").stdout)
    assert printed["cassandra"]["password"] == "********"
    assert "kafka" not in printed


def test_command_to_type() -> None:
    """What an operator is told to type has the same configuration."""
    assert Program(Path("/etc/my lastlogin.toml")).command("dlq", "drop") == (
        "lastlogin --config '/etc/my lastlogin.toml' dlq drop"
    )
    assert Program(None).command("dlq", "drop") == "lastlogin dlq drop"


def test_cassandra_away(unused_tcp_port: int) -> None:
    """A Cassandra that is away is one sentence and 69."""
    for arguments in (["u"], ["u", "--json"], ["u", "--cql"]):
        result = lastlogin(
            "show", *arguments, **{CASSANDRA: "127.0.0.1", "LASTLOGIN_CASSANDRA__PORT": str(unused_tcp_port)}
        )

        assert (result.exit_code, result.stdout) == (69, "")
        assert result.stderr.startswith("lastlogin: Cassandra does not answer: [Errno 111] ")
        assert result.stderr.endswith(f" (127.0.0.1 port {unused_tcp_port})\n")
        assert result.stderr.count("\n") == 1


def test_audit_without_servers(unused_tcp_port: int) -> None:
    """The table is needed as well, and a Cassandra that is away is 69; bad arguments are usage errors before that."""
    kafka = {KAFKA: "127.0.0.1:1"}
    assert lastlogin("audit", **kafka).stderr.startswith("lastlogin: [cassandra] is not configured: ")
    cassandra = {CASSANDRA: "127.0.0.1", "LASTLOGIN_CASSANDRA__PORT": str(unused_tcp_port)}

    away = lastlogin("audit", **kafka, **cassandra)

    assert (away.exit_code, away.stdout) == (69, "")
    assert away.stderr.startswith("lastlogin: Cassandra does not answer: ")
    assert away.stderr.count("\n") == 1
    assert 2 == lastlogin("audit", "--in-flight", "x", **kafka, **cassandra).exit_code


def test_metrics_of_an_audit_that_cannot_be(tmp_path: Path) -> None:
    """The file tells the exit code, also of a wrong configuration; one that node_exporter would not read is refused."""
    file = tmp_path / "a.prom"

    assert lastlogin("audit", "--metrics-file", str(file)).exit_code == 78
    assert "\nlastlogin_audit_exit_code 78.0\n" in file.read_text()
    missing = lastlogin("audit", "--metrics-file", "/nonexistent/a.prom", **{KAFKA: "127.0.0.1:1"})
    assert (missing.exit_code, missing.stdout) == (78, "")
    assert missing.stderr.startswith("lastlogin: /nonexistent/a.prom: cannot be written: No such file or directory; ")
    refused = lastlogin("audit", "--metrics-file", str(tmp_path / "a.txt"))
    assert refused.exit_code == 2
    assert "end with .prom" in refused.stderr


def test_cassandra_unknown() -> None:
    """Names that do not resolve are one sentence and 69."""
    result = lastlogin("show", "u", **{CASSANDRA: "nowhere.invalid"})

    assert result.exit_code == 69
    assert result.stderr == "lastlogin: no name in cassandra.contact_points resolves (nowhere.invalid port 9042)\n"


@pytest.mark.parametrize("subcommand", ["plan", "apply"])
def test_kafka_away(subcommand: str, unused_tcp_port: int) -> None:
    """A Kafka that is away is one sentence with the reason, which aiokafka only logs, and 69."""
    server = f"127.0.0.1:{unused_tcp_port}"
    result = lastlogin("topics", subcommand, **{KAFKA: server})

    assert (result.exit_code, result.stdout) == (69, "")
    assert result.stderr == (
        f"lastlogin: Kafka does not answer at {server}: "
        f"Unable connect to \"{server}\": [Errno 111] Connect call failed ('127.0.0.1', {unused_tcp_port})\n"
    )


def test_tail_without_kafka(unused_tcp_port: int) -> None:
    """A Kafka that is away at the start is one sentence and 69; bad arguments are usage errors before that."""
    server = f"127.0.0.1:{unused_tcp_port}"

    away = lastlogin("tail", **{KAFKA: server})

    assert (away.exit_code, away.stdout) == (69, "")
    assert away.stderr.startswith(f"lastlogin: Kafka does not answer at {server}: ")
    assert away.stderr.count("\n") == 1
    for arguments in (("--since", "yesterday"), ("--user", "\udcff")):
        assert lastlogin("tail", *arguments, **{KAFKA: server}).exit_code == 2
    assert "personal data" in lastlogin("tail", "--help").stdout


@pytest.mark.parametrize("group", ["quarantine", "dlq"])
def test_set_aside_without_kafka(group: str, unused_tcp_port: int) -> None:
    """A Kafka that is away is one sentence and 69; bad arguments are usage errors before that."""
    server = f"127.0.0.1:{unused_tcp_port}"

    for arguments in (("list",), ("show", "0:1"), ("drop", "--all")):
        away = lastlogin(group, *arguments, **{KAFKA: server})
        assert (away.exit_code, away.stdout) == (69, "")
        assert away.stderr.startswith(f"lastlogin: Kafka does not answer at {server}: ")
        assert away.stderr.count("\n") == 1
    for arguments in (
        ("list", "--since", "x"),
        ("list", "--limit", "-1"),
        ("show", "17"),
        ("show",),
        ("replay", "0:1", "--since", "1h"),
        ("drop",),
        ("drop", "--all", "--before", "0:1"),
        ("drop", "--before", "0:1", "--before", "0:2"),
        ("drop", "--all", "--yes"),
        ("drop", "--older-than", "3d", "--yes"),
    ):
        assert lastlogin(group, *arguments, **{KAFKA: server}).exit_code == 2
    assert lastlogin("quarantine", "replay", "0:1", **{KAFKA: server}).exit_code == 2
