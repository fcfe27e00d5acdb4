"""The command `lastlogin`."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from lastlogin_ops import reader, topics
from lastlogin_ops.backlog import Backlog, backlog
from lastlogin_ops.lookup import ago, document, text
from lastlogin_ops.plan import Action, Line
from lastlogin_ops.settings import OpsSettings
from lastlogin_schemas.event import MAX_USER_BYTES
from lastlogin_schemas.table import literal, select_cql
from lastlogin_service.command import exit_codes
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.settings import load, render, warnings


T = TypeVar("T")

_DEFAULT_FILE = Path("/etc/lastlogin/lastlogin.toml")

_HELP = """Look up when a mailbox was last used, and look after the topics in Kafka."""

_EPILOG = """\b
Configuration:
  A TOML file; a commented example is deploy/lastlogin.toml of the source. The
  environment goes before it: LASTLOGIN_<SECTION>__<KEY>, for example
  LASTLOGIN_CASSANDRA__CONTACT_POINTS=192.0.2.1,192.0.2.2

\b
Exit codes:
  0 found, or nothing to do     1 no such user, or the topics need changes
  2 usage                       65 the row holds what is no time
  69 Kafka or Cassandra away    70 a defect of this program
  78 configuration, or missing rights
"""


class _Program:
    """What every subcommand is given: the settings' file, read when it is needed."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def settings(self) -> OpsSettings:
        """Load the settings. Raises `Exit`."""
        settings = load(OpsSettings, self._file, os.environ)
        for warning in warnings(settings, self._file):
            click.echo(f"lastlogin: warning: {warning}", err=True)
        return settings

    def check(self) -> None:
        """Say that the settings are good. Raises `Exit`."""
        self.settings()
        click.echo(f"{self._file or 'environment'}: ok")


class _Group(click.Group):
    """Ends with our exit codes, whatever subcommand it was."""

    def invoke(self, ctx: click.Context) -> Any:
        with exit_codes("lastlogin", _tell_defect):
            return super().invoke(ctx)


@click.group("lastlogin", cls=_Group, help=_HELP, epilog=_EPILOG, invoke_without_command=True)
@click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help=f"Read this file.  [default: {_DEFAULT_FILE} when it exists]",
)
@click.option("--check-config", is_flag=True, help="Say whether the configuration is good, and end.")
@click.option("--print-config", is_flag=True, help="Print every effective setting as TOML, and end.")
@click.version_option(version("lastlogin"), prog_name="lastlogin", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, file: Path | None, *, check_config: bool, print_config: bool) -> None:
    """Entry of the console script."""
    # What the libraries log reaches people as the sentence that a failure ends with.
    logging.getLogger().addHandler(logging.NullHandler())
    if file is None and _DEFAULT_FILE.exists():
        file = _DEFAULT_FILE
    context.obj = _Program(file)
    if print_config:
        click.echo(render(context.obj.settings()), nl=False)
    elif check_config:
        context.obj.check()
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())
    else:
        return
    context.exit()


@main.command(help="Show when USER last used the mailbox, by which protocol, and when mail last arrived.")
@click.argument("user")
@click.option("--json", "as_json", is_flag=True, help="For programs: times in UTC, null where nothing is recorded.")
@click.option("--cql", "as_cql", is_flag=True, help="Print the query itself, to run it in cqlsh.")
@click.pass_obj
def show(program: _Program, user: str, *, as_json: bool, as_cql: bool) -> None:
    """Look up one user."""
    _check_user(user)
    settings = program.settings()
    cassandra = _needed(settings.cassandra, "cassandra", "contact_points")
    if as_cql:
        click.echo(f"{select_cql(reader.mapping(cassandra), literal(user))};")
        return
    found = reader.find(cassandra, user)
    if found is not None:
        click.echo(json.dumps(document(found)) if as_json else text(found, datetime.now(UTC), None))
        return
    waiting = _backlog(settings)
    if as_json:
        behind = asdict(waiting) if isinstance(waiting, Backlog) else None
        click.echo(json.dumps({"user": user, "found": False, "backlog": behind}))
    else:
        click.echo(f"{user}: no login was recorded")
        if user != user.lower():
            click.echo("Names are compared letter by letter; mail servers mostly write them in lower case.")
        click.echo(_freshness(waiting, datetime.now(UTC)))
    sys.exit(1)


@main.group("topics", help="Compare the topics in Kafka with what [topics] wants, and make them so.")
def topics_group() -> None:
    """Group of `plan` and `apply`."""


@topics_group.command("plan", help="Show what there is and what `apply` would do; exit code 1: something.")
@click.pass_obj
def plan_command(program: _Program) -> None:
    """Compare, change nothing."""
    settings = program.settings()
    lines = asyncio.run(topics.planned(_needed(settings.kafka, "kafka", "bootstrap_servers"), settings.topics.specs()))
    _print_plan(lines)
    sys.exit(_remaining(lines))


@topics_group.command("apply", help="Make missing topics, add partitions and change settings; safe to repeat.")
@click.pass_obj
def apply_command(program: _Program) -> None:
    """Make it so, and show what was done."""
    settings = program.settings()
    kafka = _needed(settings.kafka, "kafka", "bootstrap_servers")
    before, after = asyncio.run(topics.apply(kafka, settings.topics.specs()))
    _print_plan(after)
    done = [line for line in before if line.action not in (Action.KEEP, Action.BY_HAND)]
    for topic in dict.fromkeys(line.topic for line in done if line.action is Action.CREATE):
        click.echo(f"{topic}: created")
    for line in done:
        if line.action is not Action.CREATE:
            click.echo(f"{line.topic}: {line.setting}: {line.existing} -> {line.wanted}")
    if not done:
        click.echo("Nothing was changed.")
    sys.exit(_remaining(after))


def _needed(section: T | None, name: str, key: str) -> T:
    if section is None:
        raise Exit(CONFIG, f"[{name}] is not configured: set {name}.{key}, or LASTLOGIN_{name.upper()}__{key.upper()}")
    return section


def _check_user(user: str) -> None:
    try:
        size = len(user.encode())
    except UnicodeEncodeError:
        raise click.BadParameter("is not UTF-8", param_hint="USER") from None
    if not 0 < size <= MAX_USER_BYTES:
        raise click.BadParameter(f"must have 1 to {MAX_USER_BYTES} bytes", param_hint="USER")


def _backlog(settings: OpsSettings) -> Backlog | str:
    try:
        kafka = _needed(settings.kafka, "kafka", "bootstrap_servers")
        return asyncio.run(backlog(kafka, settings.topics.events, settings.lag.group))
    except Exit as reason:
        return reason.message


def _freshness(waiting: Backlog | str, now: datetime) -> str:
    if isinstance(waiting, str):
        return f"How fresh the table is, is not known: {waiting}"
    if waiting.records == 0:
        return "The table is up to date: it has everything that reached Kafka."
    since = ""
    if waiting.oldest_ms is not None:
        since = f", the oldest from {ago(datetime.fromtimestamp(waiting.oldest_ms / 1000, UTC), now)}"
    events = "event is" if waiting.records == 1 else "events are"
    return f"The table is behind: {waiting.records} {events} in Kafka and not in the table yet{since}."


def _print_plan(lines: Sequence[Line]) -> None:
    table = Table("topic", "setting", "is", "wanted", "to do", box=None, pad_edge=False)
    above = None
    for line in lines:
        todo = "" if line.action is Action.KEEP else line.action.value
        note = ": ".join(filter(None, (todo, line.note)))
        topic = line.topic if line.topic != above else ""
        table.add_row(topic, line.setting, line.existing or "-", line.wanted, note, style="bold" if todo else None)
        above = line.topic
    console = Console()
    if not console.is_terminal:
        # A pipe has no edge to wrap at.
        console.width = 1_000
    console.print(table)


def _remaining(lines: Sequence[Line]) -> int:
    return int(any(line.action is not Action.KEEP for line in lines))


def _tell_defect(error: Exception) -> None:
    click.echo(f"lastlogin: a defect of this program, please report it: {type(error).__name__}: {error}", err=True)
