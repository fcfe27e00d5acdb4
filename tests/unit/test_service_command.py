"""The command line of a service."""

import json
import logging
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
import structlog
from click.testing import CliRunner, Result
from pydantic_settings import SettingsConfigDict

from lastlogin_service.command import service_command
from lastlogin_service.exits import UNAVAILABLE, Exit
from lastlogin_service.logs import ServiceSettings
from lastlogin_service.preflight import Finding
from lastlogin_service.subcommand import Source, Subcommand, config_option
from tests.support.command import ok


class EchoSettings(ServiceSettings):
    """Settings of a service that says one thing."""

    model_config = SettingsConfigDict(env_prefix="LASTLOGIN_ECHO_")

    text: str = "hello"


async def say(settings: EchoSettings, _reread: Callable[[], EchoSettings]) -> None:
    """Say it, or fail on request."""
    match settings.text:
        case "away":
            raise Exit(UNAVAILABLE, "Kafka does not answer at kafka1:9092")
        case "bug":
            raise RuntimeError("a bug")
    structlog.get_logger("echo").info(settings.text, action="say")


Echo = Callable[..., Result]


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Echo]:
    """Run the command in a directory of its own, logging put back afterwards."""
    command = service_command("lastlogin-echo", EchoSettings, say, summary="Says one thing.")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(command, arguments, env=environ)

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_run(echo: Echo) -> None:
    """The service runs with its settings and logs to standard output, first what runs here and how."""
    result = echo(LASTLOGIN_ECHO_TEXT="moin")

    assert (result.exit_code, result.stderr) == (0, "")
    assert ["starting", "say"] == [json.loads(line)["action"] for line in result.stdout.splitlines()]


def test_exit_is_one_sentence(echo: Echo) -> None:
    """What makes running impossible is one sentence on standard error and an exit code."""
    result = echo(LASTLOGIN_ECHO_TEXT="away")

    assert result.exit_code == 69
    assert result.stderr == "lastlogin-echo: Kafka does not answer at kafka1:9092\n"


def test_defect(echo: Echo) -> None:
    """A defect of ours is logged with its traceback and ends with 70."""
    result = echo(LASTLOGIN_ECHO_TEXT="bug")

    line = json.loads(result.stdout.splitlines()[-1])
    assert result.exit_code == 70
    assert line["action"] == "defect"
    assert line["exception"].endswith("RuntimeError: a bug")


def test_bad_configuration(echo: Echo, tmp_path: Path) -> None:
    """Each problem of the configuration is a line, and the code says that a person is needed."""
    file = tmp_path / "echo.toml"
    file.write_text('text = 1\n[log]\nlevel = "loud"\n')

    for arguments in [[], ["--check-config"], ["--print-config"]]:
        result = echo("--config", str(file), *arguments)

        assert (result.exit_code, result.stdout) == (78, "")
        assert result.stderr == (
            f'lastlogin-echo: {file}: log.level: "loud" - must be one of debug, info, warning, error\n'
            f"lastlogin-echo: {file}: text: 1 - must be text\n"
        )


def test_check_config(echo: Echo, tmp_path: Path) -> None:
    """A good configuration is said to be so, by its file; without one it is said which file is not there."""
    file = tmp_path / "echo.toml"
    file.write_text("")

    assert echo("--config", str(file), "--check-config").output == f"{file}: ok\n"
    assert echo("--check-config").output == ok("lastlogin-echo")


def test_the_default_file(tmp_path: Path) -> None:
    """It is read when it is there; one that cannot be looked at is not passed over."""
    default = tmp_path / "echo.toml"

    def chosen() -> str:
        command = click.Command("echo", params=[config_option(default)], callback=lambda file: click.echo(str(file)))
        return CliRunner().invoke(command).output

    assert chosen() == "None\n"
    default.symlink_to(default)
    assert chosen() == f"{default}\n"
    default.unlink()
    default.touch()
    assert chosen() == f"{default}\n"


@pytest.mark.parametrize(
    ("found", "code", "out", "err"),
    [
        ([Finding("Kafka is away")], 0, ok("lastlogin-echo"), "lastlogin-echo: warning: Kafka is away\n"),
        (
            [Finding("port in use", 75), Finding("Kafka is away"), Finding("no such table", 78)],
            78,
            "",
            "lastlogin-echo: warning: Kafka is away\nlastlogin-echo: port in use\nlastlogin-echo: no such table\n",
        ),
    ],
)
def test_check_config_looks_at_the_world(found: list[Finding], code: int, out: str, err: str) -> None:
    """Warnings come first, then every problem; the configuration is ok when there is none."""

    async def look(settings: EchoSettings) -> list[Finding]:
        return found

    command = service_command("lastlogin-echo", EchoSettings, say, summary="Says one thing.", check=look)
    result = CliRunner().invoke(command, ["--check-config"])

    assert (code, out, err) == (result.exit_code, result.stdout, result.stderr)


@pytest.mark.parametrize("arguments", [(), ("--check-config",), ("--print-config",)])
def test_a_defect_before_there_are_logs(
    echo: Echo, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """It ends with 70 and a plain traceback on standard error, without anybody's values."""

    def load(*_arguments: object) -> EchoSettings:
        password = "hush" * 2
        raise RuntimeError(f"a bug with {len(password)} letters")

    monkeypatch.setattr("lastlogin_service.subcommand.load", load)
    result = echo(*arguments)

    assert (70, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("Ending because of a defect; please report these lines\nTraceback ")
    assert "RuntimeError: a bug" in result.stderr
    assert "hushhush" not in result.stderr


def test_a_defect_of_a_check() -> None:
    """What nobody expected of a check is a plain traceback on standard error as well."""

    async def look(settings: EchoSettings) -> list[Finding]:
        password = settings.text * 2
        raise RuntimeError(f"a bug with {len(password)} letters")

    command = service_command("lastlogin-echo", EchoSettings, say, summary="Says one thing.", check=look)
    result = CliRunner().invoke(command, ["--check-config"], env={"LASTLOGIN_ECHO_TEXT": "hush"})

    assert (70, "") == (result.exit_code, result.stdout)
    assert "RuntimeError: a bug" in result.stderr
    assert "hush" not in result.stderr


def test_print_config(echo: Echo, tmp_path: Path) -> None:
    """The effective settings are printed as TOML."""
    result = echo("--print-config", LASTLOGIN_ECHO_TEXT="moin")

    assert tomllib.loads(result.stdout) == {"text": "moin", "log": {"level": "info", "format": "auto"}}


def test_help_tells_of_a_reload_where_there_is_one() -> None:
    """SIGHUP stands beside the other signals when the service acts on it, and only then."""
    with_reload = service_command("lastlogin-echo", EchoSettings, say, summary="Says.", on_hangup="read all again")
    without = service_command("lastlogin-echo", EchoSettings, say, summary="Says.")

    assert "  SIGHUP            read all again\n" in CliRunner().invoke(with_reload, ["--help"]).output
    assert "SIGHUP" not in CliRunner().invoke(without, ["--help"]).output


def test_version_and_help(echo: Echo) -> None:
    """A stranger learns what it is, how to configure it and how it ends."""
    assert echo("--version").output.startswith("lastlogin-echo 0.")
    text = echo("--help").output
    for fact in ("Says one thing.", "/etc/lastlogin/echo.toml", "LASTLOGIN_ECHO_LOG__LEVEL", "SIGTERM", "78", "75"):
        assert fact in text


@pytest.fixture
def with_subcommand(tmp_path: Path) -> Callable[..., Result]:
    """Run a command that can also `shout`, which ends with the code it is given."""

    async def shout(source: Source[EchoSettings], *, code: int) -> int:
        password = "hush" * 2
        if code < 0:
            raise RuntimeError(f"a bug with {len(password)} letters")
        click.echo(source.load().text.upper())
        return code

    option = click.Option(["--code"], type=int, default=0)
    command = service_command(
        "lastlogin-echo",
        EchoSettings,
        say,
        summary="Says one thing.",
        subcommands=[Subcommand("shout", "Shout.", shout, [option])],
    )

    def run(*arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(command, arguments, env=environ)

    return run


def test_subcommand(with_subcommand: Callable[..., Result], tmp_path: Path) -> None:
    """A subcommand gets the settings, from the file that is named before or after it, and ends with its own code."""
    file = tmp_path / "echo.toml"
    file.write_text('text = "moin"\n')
    other = tmp_path / "other.toml"
    other.write_text('text = "servus"\n')

    for arguments, out, code in (
        (("shout",), "HELLO\n", 0),
        (("--config", str(file), "shout", "--code", "3"), "MOIN\n", 3),
        (("shout", "--config", str(file)), "MOIN\n", 0),
        (("--config", str(file), "shout", "--config", str(other)), "SERVUS\n", 0),
    ):
        result = with_subcommand(*arguments)
        assert (out, code, "") == (result.stdout, result.exit_code, result.stderr)


def test_command_to_type() -> None:
    """What an operator is told to type has the same configuration."""
    assert Source(EchoSettings, Path("/etc/my echo.toml")).command("lastlogin-echo", "shout", "--code", "3") == (
        "lastlogin-echo --config '/etc/my echo.toml' shout --code 3"
    )
    assert Source(EchoSettings, None).command("lastlogin-echo", "shout") == "lastlogin-echo shout"


def test_subcommand_with_bad_configuration(with_subcommand: Callable[..., Result], tmp_path: Path) -> None:
    """What is wrong with the settings is told as at a start, by the name of the subcommand."""
    result = with_subcommand("--config", str(tmp_path / "none.toml"), "shout")

    assert (78, "") == (result.exit_code, result.stdout)
    assert f"lastlogin-echo shout: {tmp_path}/none.toml: there is no such file\n" == result.stderr


def test_subcommand_with_a_defect(with_subcommand: Callable[..., Result]) -> None:
    """A defect of ours ends with 70 and a plain traceback on standard error, without anybody's values."""
    result = with_subcommand("shout", "--code", "-1")

    assert (70, "") == (result.exit_code, result.stdout)
    assert "RuntimeError: a bug" in result.stderr
    assert "hushhush" not in result.stderr


def test_usage(echo: Echo, with_subcommand: Callable[..., Result]) -> None:
    """A service has the subcommands that it was given and no others; an unknown one is refused with 2."""
    assert "shout  Shout." in with_subcommand("--help").stdout
    assert "COMMAND" not in echo("--help").stdout
    for run in (echo, with_subcommand):
        assert 2 == run("whisper").exit_code
