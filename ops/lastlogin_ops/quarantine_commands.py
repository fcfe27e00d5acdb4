"""`lastlogin quarantine`: writes that the producers could store and not understand."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from lastlogin_ops.producer_rules import load_producer_file
from lastlogin_ops.program import Program, needed
from lastlogin_ops.quarantined import (
    Chosen,
    Newest,
    Tally,
    document,
    found_in,
    line,
    whole_document,
    whole_text,
)
from lastlogin_ops.replay import Replay, events_topic
from lastlogin_ops.replaying import Outcome
from lastlogin_ops.settings import OpsSettings
from lastlogin_ops.tail import Since
from lastlogin_service import audit_trail
from lastlogin_service.exits import Exit
from lastlogin_service.kafka import KafkaSettings
from lastlogin_service.places import Place, place_of
from lastlogin_service.scan import Scan, scanning


# Lines are kept until the topic is read, for the newest count: 20 MB at most.
_LINES, _MAX_LINES = 1_000, 50_000

_REPLAY_HELP = """Read writes that were set aside once more, by the rules in the producer's configuration FILE (mended
`key_patterns`, say), and publish those that are logins by now.

Without --yes it only tells what would happen. What is replayed keeps its event_id and its place in the producer's
sequence: to replay twice is harmless. Nothing is removed from the quarantine. All records are meant unless options
or places (PARTITION:OFFSET, as in the list) choose some.

Only [dicts], [publisher] and the rules of FILE count, not the environment; servers and topics are those of this
command's own configuration. Exit code 1: some records still do not fit.
"""


class _Place(click.ParamType[Place]):
    name = "partition:offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        """Read PARTITION:OFFSET."""
        try:
            return value if isinstance(value, Place) else place_of(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_since = click.option("--since", type=Since(), help="Set aside since: 90s, 30m, 2h, 7d ago, or an ISO time.")
_backends = click.option("--backend", "backends", multiple=True, help="Only of this backend; may be repeated.")
_reasons = click.option("--reason", "reasons", multiple=True, help="Only for this reason; may be repeated.")
_json = click.option("--json", "as_json", is_flag=True, help="For programs: one object a line.")


@click.group("quarantine", help="Look at writes that producers could store and not understand, and replay them.")
def quarantine_group() -> None:
    """Group of `list`, `show` and `replay`."""


@quarantine_group.command("list", help="One line a record, the newest last, and how many there are for each reason.")
@_since
@_backends
@_reasons
@click.option(
    "--limit",
    type=click.IntRange(0, _MAX_LINES),
    default=_LINES,
    show_default=True,
    help="Show the newest so many; all are counted.",
)
@_json
@click.pass_obj
def list_command(
    program: Program,
    *,
    since: int | None,
    backends: tuple[str, ...],
    reasons: tuple[str, ...],
    limit: int,
    as_json: bool,
) -> None:
    """List records, without users."""
    settings, kafka = _configured(program)
    topic = settings.topics.quarantine
    chosen = Chosen(frozenset(reasons), frozenset(backends))
    newest, tally = Newest(limit), Tally()

    async def read() -> None:
        async with _scanning(settings, kafka, since_ms=since) as scan:
            with _progress(scan.records) as advance:
                async for piece in scan.pieces():
                    for record in piece:
                        found = found_in(record, settings.quarantine.schemas)
                        if chosen.takes(found):
                            tally.add(found.reason)
                            newest.add(found, json.dumps(document(found, topic)) if as_json else line(found))
                    advance(len(piece))

    asyncio.run(read())
    lines = newest.lines()
    for each in lines:
        click.echo(each)
    if as_json:
        click.echo(json.dumps({"records": tally.reasons.total(), "shown": len(lines), "reasons": tally.reasons}))
    else:
        click.echo(tally.text(len(lines), narrowed=bool(reasons or backends or since is not None)))


@quarantine_group.command("show", help="Show one record whole, with its user: PARTITION:OFFSET as in the list.")
@click.argument("place", metavar="PARTITION:OFFSET", type=_Place())
@_json
@click.pass_obj
def show_command(program: Program, place: Place, *, as_json: bool) -> None:
    """Show one record."""
    settings, kafka = _configured(program)

    async def read() -> Any:
        async with _scanning(settings, kafka, places=[place]) as scan:
            async for piece in scan.pieces():
                return piece[0]
        raise Exit(1, f"there is no record {place}")

    record = asyncio.run(read())
    found = found_in(record, settings.quarantine.schemas)
    click.echo(whole_document(found, record) if as_json else whole_text(found, record))


@quarantine_group.command("replay", help=_REPLAY_HELP)
@click.argument("places", metavar="[PARTITION:OFFSET]...", type=_Place(), nargs=-1)
@_since
@_backends
@_reasons
@click.option(
    "--producer-config",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    required=True,
    help="The producer's configuration, as it should have been.",
)
@click.option("--yes/--dry-run", "write", default=False, help="Publish, or only tell.  [default: only tell]")
@click.pass_obj
def replay_command(
    program: Program,
    places: tuple[Place, ...],
    *,
    since: int | None,
    backends: tuple[str, ...],
    reasons: tuple[str, ...],
    file: Path,
    write: bool,
) -> None:
    """Replay records."""
    if places and (since is not None or backends or reasons):
        raise click.UsageError("Give places, or options that choose records, not both.")
    rules = load_producer_file(file)
    settings, kafka = _configured(program)
    replay = Replay(rules, Chosen(frozenset(reasons), frozenset(backends)), settings.quarantine.schemas)
    outcome = Outcome()

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            target = None
            if write:
                target = await stack.enter_async_context(events_topic(kafka, settings.topics.events, rules))
            scan = await stack.enter_async_context(_scanning(settings, kafka, since_ms=since, places=places))
            with _progress(scan.records) as advance:
                await replay.run(scan, target, outcome, advance)

    try:
        asyncio.run(run())
    finally:
        # Also when it was interrupted: what is published by then stays so.
        if write and outcome.records:
            audit_trail.tell(
                "lastlogin",
                "quarantine_replayed",
                f"Replayed {outcome.logins} of {outcome.records} quarantined writes as logins",
                topic=settings.topics.quarantine,
                records=outcome.records,
                logins=outcome.logins,
                unfit=outcome.unfit,
            )
    click.echo(outcome.text(published=write))
    if not write and outcome.logins:
        click.echo("Nothing was published; --yes does it.")
    sys.exit(int(outcome.unfit > 0))


def _configured(program: Program) -> tuple[OpsSettings, KafkaSettings]:
    settings = program.settings()
    return settings, needed(settings.kafka, "kafka", "bootstrap_servers")


def _scanning(
    settings: OpsSettings, kafka: KafkaSettings, *, since_ms: int | None = None, places: Sequence[Place] = ()
) -> AbstractAsyncContextManager[Scan]:
    return scanning(
        kafka,
        settings.topics.quarantine,
        "topics.quarantine",
        "lastlogin-quarantine",
        since_ms=since_ms,
        places=places,
    )


@contextlib.contextmanager
def _progress(records: int) -> Any:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=records)
        yield lambda count: progress.advance(task, count)
