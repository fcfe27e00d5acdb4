"""`lastlogin doctor`: everything is looked at at once, and what only both servers can tell is judged after that."""

import asyncio
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click

from lastlogin_ops.doctor import cassandra, kafka, keeping, ring
from lastlogin_ops.doctor.cassandra import Facts
from lastlogin_ops.doctor.kafka import Found
from lastlogin_ops.doctor.subject import CONSUMER_FILE, Subject, configuration
from lastlogin_ops.program import Program
from lastlogin_ops.settings import OpsSettings
from lastlogin_service.doctor.report import Level, Line, as_json, error, text, worst


_ERROR = 1

_HELP = f"""Look at everything between Kafka and the table, and say what is wrong and what to do.

The configuration of the consumer and of this command, Kafka with its topics, rights and the consumer's group,
Cassandra with its nodes, the table and rights on it, how long each keeps what, and clocks. Nothing is changed, no group
is joined, and a running consumer is not disturbed. It asks as the consumer's own user where the consumer's settings are
here ({CONSUMER_FILE}, --consumer, or LASTLOGIN_CONSUMER_ in the environment). Takes up to 25 s.

\b
Exit codes:
  0 no error (there may be warnings)     1 at least one error
"""


@click.command(help=_HELP)
@click.option(
    "--consumer",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help=f"The consumer's configuration.  [default: {CONSUMER_FILE} when it exists]",
)
@click.option(
    "--json", "json", is_flag=True, help="Print JSON for machines: level, and check, level, found, do of each."
)
@click.pass_obj
def doctor(program: Program, *, consumer: Path | None, json: bool) -> None:
    """Look, print, and end with the exit code."""
    subject, command, lines = configuration(program.file, consumer)
    if subject is not None:
        lines += asyncio.run(examine(subject, command))
    click.echo(as_json(lines, version("lastlogin")) if json else text(lines), nl=json)
    sys.exit(_ERROR if worst(lines) is Level.ERROR else 0)


async def examine(subject: Subject, command: OpsSettings | None) -> list[Line]:
    """Look at both servers at once; what one of them alone can tell is told when the other is away."""
    (of_kafka, found), (of_cassandra, facts) = await asyncio.gather(_kafka(subject, command), _cassandra(subject))
    return [*of_kafka, *of_cassandra, *_of_both(subject, found, facts)]


async def _kafka(subject: Subject, command: OpsSettings | None) -> tuple[list[Line], Found]:
    if subject.kafka is None:
        do = "set kafka.bootstrap_servers, or name the consumer's file: --consumer"
        return [error("kafka.connect", "[kafka] is not configured", do)], Found()
    specs = command.topics.specs() if command is not None and command.kafka is not None else []
    found = await kafka.examine(subject, subject.kafka, specs)
    return found.lines, found


async def _cassandra(subject: Subject) -> tuple[list[Line], Facts | None]:
    if subject.cassandra is None or subject.table is None:
        do = "set cassandra.contact_points, or name the consumer's file: --consumer"
        return [error("cassandra.connect", "[cassandra] is not configured", do)], None
    return await cassandra.examine(subject, subject.cassandra, subject.table)


def _of_both(subject: Subject, found: Found, facts: Facts | None) -> Iterator[Line]:
    events = subject.topics.events
    if facts is not None and subject.cassandra is not None:
        # Without Kafka's word: the most that a login may wait is not known, and nothing is judged by it.
        events_s = found.kept_s.get(events, 0.0)
        yield from ring.settings(facts.ring, subject.cassandra.username, subject.future_limit_s, events_s)
    if subject.table is None or events not in found.kept_s:
        return
    yield from keeping.expiring(found.kept_s[events], subject.table)
    if facts is not None and facts.options is not None:
        aside = (subject.topics.quarantine, subject.topics.dead_letters)
        unknown = [name for name in aside if name not in found.kept_s]
        yield from keeping.erased(found.kept_s, unknown, subject.table, facts.options["gc_grace_seconds"])
