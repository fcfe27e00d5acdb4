"""`lastlogin topics`: the topics in Kafka, compared and made."""

import asyncio
import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table

from lastlogin_ops import topics
from lastlogin_ops.plan import Action, Line
from lastlogin_ops.program import Program, needed


@click.group("topics", help="Compare the topics in Kafka with what [topics] wants, and make them so.")
def topics_group() -> None:
    """Group of `plan` and `apply`."""


@topics_group.command("plan", help="Show what there is and what `apply` would do; exit code 1: something.")
@click.pass_obj
def plan_command(program: Program) -> None:
    """Compare, change nothing."""
    settings = program.settings()
    lines = asyncio.run(topics.planned(needed(settings.kafka, "kafka", "bootstrap_servers"), settings.topics.specs()))
    _print_plan(lines)
    sys.exit(_remaining(lines))


@topics_group.command("apply", help="Make missing topics, add partitions and change settings; safe to repeat.")
@click.pass_obj
def apply_command(program: Program) -> None:
    """Make it so, and show what was done."""
    settings = program.settings()
    kafka = needed(settings.kafka, "kafka", "bootstrap_servers")
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
