"""What `lastlogin quarantine` and `lastlogin dlq` have in common: list, show, drop, and the frame of replay."""

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import click
from rich.console import Console
from rich.progress import Progress

from lastlogin_ops.aside_topic import AsideTopic
from lastlogin_ops.dropping import Bound, Drop, delete, look
from lastlogin_ops.program import Program, needed
from lastlogin_ops.replay import Replay, events_topic
from lastlogin_ops.replaying import Message, Outcome, Passed, Unfit
from lastlogin_ops.set_aside import Chosen, Found, Newest, Tally
from lastlogin_ops.settings import OpsSettings
from lastlogin_ops.tailing import Record
from lastlogin_service import audit_trail
from lastlogin_service.counting import counted
from lastlogin_service.exits import Exit
from lastlogin_service.places import Place, place_of
from lastlogin_service.scan import scanning
from lastlogin_service.since import Since


# Lines are kept until the topic is read, for the newest count: 20 MB at most, as JSON 200 MB.
_LINES, _MAX_LINES = 1_000, 50_000

_DROP_HELP = """Delete records from Kafka for good.

Kafka deletes all of a partition that is before an offset, and nothing else. --older-than and --all only tell what would
go, by reason and time, and end with the command, with explicit offsets, that deletes exactly that: what arrives
meanwhile stays. Two operators at once are safe: offsets only go up. What was dropped already is said to be, with exit
code 0.

"""

_LIST_HELP = """One line a record, the newest last, and how many there are for each reason.

No user is shown. With --user only one mailbox's are, the name as Dovecot wrote it. A record that cannot be decoded is
that of its key's user; one without a key is nobody's, and not among them.
"""

F = TypeVar("F", bound=Found)
Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Kind(Generic[F]):
    """A kind of topic that records are set aside in: what it is called, its name by the settings, how one is read."""

    group: str
    where: str
    key: str
    topic: Callable[[OpsSettings], str]
    read: Callable[[Record, OpsSettings], F]

    def opened(self, settings: OpsSettings) -> AsideTopic[F]:
        """The topic by these settings. Raises `Exit` (78) when they do not say where Kafka is."""
        kafka = needed(settings.kafka, "kafka", "bootstrap_servers")
        return AsideTopic(kafka, self.topic(settings), self.key, lambda record: self.read(record, settings))

    def nothing(self, *, narrowed: bool) -> str:
        """Say that there is none; `narrowed` when not all were asked for."""
        return f"No record in the {self.where} is as asked for." if narrowed else f"The {self.where} is empty."


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


def set_aside_group(kind: Kind[Any], summary: str, drop_help: str) -> click.Group:
    """Make the group of commands with `list`, `show` and `drop`; `drop_help` says what a drop means otherwise."""
    return click.Group(kind.group, help=summary, commands=[_list(kind), _show(kind), _drop(kind, drop_help)])


def _list(kind: Kind[Any]) -> click.Command:
    @click.command("list", help=_LIST_HELP)
    @click.option("--user", default="", help="Only of this mailbox.")
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
    def command(
        program: Program,
        *,
        user: str,
        since: int | None,
        backends: tuple[str, ...],
        reasons: tuple[str, ...],
        limit: int,
        as_json: bool,
    ) -> None:
        topic = kind.opened(program.settings())
        chosen = Chosen(frozenset(reasons), frozenset(backends), os.fsencode(user))
        newest, tally = Newest(limit), Tally()

        async def run() -> None:
            async with scanning(topic.kafka, topic.name, topic.key, "lastlogin-list", since_ms=since) as scan:
                with _progress() as phase:
                    advance = phase(scan.records)
                    async for piece in scan.pieces():
                        for found in filter(chosen.takes, map(topic.read, piece)):
                            tally.add(found)
                            newest.add(found, json.dumps(found.document()) if as_json else found.line())
                        advance(len(piece))

        asyncio.run(run())
        lines = newest.lines()
        for each in lines:
            click.echo(each)
        if as_json:
            click.echo(json.dumps({"records": tally.records, "shown": len(lines), "reasons": tally.reasons}))
        elif tally.records:
            above = f", the newest {len(lines):,} of them above" if len(lines) < tally.records else ""
            click.echo("\n".join([f"{counted(tally.records, 'record')}{above}:", *tally.lines()]))
        else:
            click.echo(kind.nothing(narrowed=bool(user or reasons or backends or since is not None)))

    return command


def _show(kind: Kind[Any]) -> click.Command:
    @click.command("show", help="Show one record whole, with its user: PARTITION:OFFSET as in the list.")
    @click.argument("place", metavar="PARTITION:OFFSET", type=_Place())
    @_json
    @click.pass_obj
    def command(program: Program, place: Place, *, as_json: bool) -> None:
        topic = kind.opened(program.settings())

        async def run() -> Any:
            async with scanning(topic.kafka, topic.name, topic.key, "lastlogin-show", places=[place]) as scan:
                async for piece in scan.pieces():
                    return piece[0]
            raise Exit(1, f"there is no record {place}")

        found = topic.read(asyncio.run(run()))
        click.echo(found.whole_document() if as_json else found.whole_text())

    return command


def _drop(kind: Kind[Any], more_help: str) -> click.Command:
    @click.command("drop", help=_DROP_HELP + more_help)
    @click.option(
        "--before",
        multiple=True,
        metavar="PARTITION:OFFSET",
        type=_Place(),
        help="All of the partition before this offset; once for each partition.",
    )
    @click.option(
        "--older-than", type=Since(), help="All that was set aside before: 90s, 30m, 2h, 7d ago, or an ISO time."
    )
    @click.option("--all", "everything", is_flag=True, help="All that is there now.")
    @click.option("--yes/--dry-run", "write", default=False, help="Delete, or only tell.  [default: only tell]")
    @_json
    @click.pass_obj
    def command(
        program: Program,
        *,
        before: tuple[Place, ...],
        older_than: int | None,
        everything: bool,
        write: bool,
        as_json: bool,
    ) -> None:
        if [bool(before), older_than is not None, everything].count(True) != 1:
            raise click.UsageError("Give one of --before, --older-than and --all.")
        if len({place.partition for place in before}) < len(before):
            raise click.UsageError("Give --before once for each partition.")
        if write and not before:
            raise click.UsageError("--yes goes with --before. Without --yes the command with the offsets is told.")
        topic = kind.opened(program.settings())
        with _progress() as phase:
            drop = asyncio.run(look(topic, Bound(before, older_than), phase))
        if write and drop.before:
            _delete(topic, drop)
        places = [argument for place in drop.before for argument in ("--before", str(place))]
        again = program.command(kind.group, "drop", *places, "--yes") if places and not write else None
        if as_json:
            click.echo(json.dumps(drop.document() | {"dropped": write and bool(places), "command": again}))
        elif places:
            click.echo("\n".join(drop.lines(dropped=write)))
            if again:
                click.echo(f"Nothing was dropped; this drops exactly these:\n    {again}")
        elif before:
            click.echo("Already dropped, or past their retention: nothing is left there.")
        else:
            click.echo(kind.nothing(narrowed=older_than is not None))

    return command


def _delete(topic: AsideTopic[Any], drop: Drop) -> None:
    try:
        asyncio.run(delete(topic, drop))
    finally:
        # Also when it was interrupted: what is deleted by then stays so.
        if drop.done or drop.in_doubt:
            tally = drop.tally
            audit_trail.tell(
                "lastlogin",
                "set_aside_dropped",
                f"Deleted {counted(tally.records, 'record')} of {topic.name}"
                if drop.done == drop.before
                else f"Ended while it deleted {counted(tally.records, 'record')} of {topic.name}",
                topic=topic.name,
                records=tally.records,
                reasons=[f"{reason}={count}" for reason, count in tally.reasons.most_common()],
                before=[str(place) for place in drop.done],
                in_doubt=[str(place) for place in drop.in_doubt],
            )


def replay_options(command: Command) -> Command:
    """Give a command the options by which records are chosen for a replay; `Choice` takes their values."""
    for option in (
        click.argument("places", metavar="[PARTITION:OFFSET]...", type=_Place(), nargs=-1),
        _since,
        _backends,
        _reasons,
        click.option("--yes/--dry-run", "write", default=False, help="Publish, or only tell.  [default: only tell]"),
        _json,
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Choice:
    """What `replay_options` were given."""

    places: tuple[Place, ...]
    since: int | None
    backends: tuple[str, ...]
    reasons: tuple[str, ...]
    write: bool
    as_json: bool

    def __post_init__(self) -> None:
        if self.places and self.narrowed:
            raise click.UsageError("Give places, or options that choose records, not both.")

    @property
    def narrowed(self) -> bool:
        """Whether options choose records."""
        return bool(self.backends or self.reasons or self.since is not None)


def replay_and_tell(
    kind: Kind[F],
    settings: OpsSettings,
    choice: Choice,
    judge: Callable[[F], Message | Unfit | Passed],
    compression: str,
) -> Outcome:
    """Replay what was chosen, and tell of it."""
    topic, outcome = kind.opened(settings), Outcome()
    replay = Replay(topic, judge, Chosen(frozenset(choice.reasons), frozenset(choice.backends)))

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            target = None
            if choice.write:
                target = await stack.enter_async_context(events_topic(topic.kafka, settings.topics.events, compression))
            source = scanning(
                topic.kafka,
                topic.name,
                topic.key,
                "lastlogin-aside",
                since_ms=choice.since,
                places=choice.places,
            )
            scan = await stack.enter_async_context(source)
            advance = stack.enter_context(_progress())(scan.records)
            await replay.run(scan, target, outcome, advance)

    try:
        asyncio.run(run())
    finally:
        # Also when it was interrupted: what is published by then stays so.
        if choice.write and outcome.records:
            audit_trail.tell(
                "lastlogin",
                "set_aside_replayed",
                f"Published {outcome.published:,} of {counted(outcome.records, 'record')} of {topic.name}",
                topic=topic.name,
                records=outcome.records,
                published=outcome.published,
                unfit=outcome.unfit,
            )
    if choice.as_json:
        click.echo(json.dumps(outcome.document(published=choice.write)))
    else:
        lines = outcome.lines(published=choice.write)
        click.echo("\n".join(lines) if lines else f"Nothing to replay. {kind.nothing(narrowed=choice.narrowed)}")
        if outcome.published and not choice.write:
            click.echo("Nothing was published; --yes does it.")
    return outcome


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int], Callable[[int], object]]]:
    """Give a function that begins to count so many records, and returns what is told how many are read."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:

        def phase(total: int) -> Callable[[int], object]:
            task = progress.add_task("reading", total=total)
            return lambda count: progress.advance(task, count)

        yield phase
