"""`lastlogin-consumer replay`: a stretch of the events topic into the table once more."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

import click
from prometheus_client import CollectorRegistry

from lastlogin_consumer.breaker import Breaker
from lastlogin_consumer.metrics import ConsumerMetrics, Totals
from lastlogin_consumer.replay import words
from lastlogin_consumer.replay.plan import Plan, plan_offsets, plan_since
from lastlogin_consumer.replay.stretch_log import StretchLog
from lastlogin_consumer.replay.stretches import Stretch, stretch_of
from lastlogin_consumer.replay.topic import EventsTopic, events_topic
from lastlogin_consumer.replay.writing import LeftOut, write_all
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_consumer.stages import stages_of, writer_of
from lastlogin_service import audit_trail, logs
from lastlogin_service.counting import counted
from lastlogin_service.exits import OK
from lastlogin_service.logs import LogSettings
from lastlogin_service.signals import stop_event
from lastlogin_service.since import Since
from lastlogin_service.subcommand import Source, Subcommand
from lastlogin_service.tasks import unless


PROGRAM = "lastlogin-consumer"
INCOMPLETE = 1
INTERRUPTED = 130
_DISCONNECT_DEADLINE_S = 3.0

SUMMARY = """Write a stretch of the events topic into Cassandra once more.

Harmless at any time, also while consumers run: each row is written under its login's own time, so that older logins
change nothing. No group is joined and no offset moves. Records that are no logins are counted, and not set aside
again. While Kafka or Cassandra is away it waits. Ctrl-C ends it, and tells how to go on.

\b
Exit codes:
  0 all of it is written
  1 not all: Kafka has deleted some, or it cannot be read, or Cassandra refuses rows
  2 usage     69 Kafka is away at the start     75 try again     78 configuration     130 interrupted
"""


class _Stretches(click.ParamType[Stretch]):
    name = "partition:first-last"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Stretch:
        """Read PARTITION:FIRST-LAST."""
        try:
            return value if isinstance(value, Stretch) else stretch_of(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


async def replay(source: Source[ConsumerSettings], *, since: int | None, offsets: Sequence[Stretch]) -> int:
    """Replay, and say what became of it. Raises `Exit`."""
    if (since is None) == (not offsets):
        raise click.UsageError("Give either --since or --offsets.")
    settings = source.load()
    for warning in source.warnings(settings):
        click.echo(f"{PROGRAM}: warning: {warning}", err=True)
    async with events_topic(settings, f"{PROGRAM}-replay") as topic:
        plan = await (plan_offsets(topic, offsets) if since is None else plan_since(topic, since))
        tell_gone(plan)
        if not plan.stretches:
            click.echo("There is nothing to replay.")
            return INCOMPLETE if plan.gone else OK
        click.echo(words.announced(plan.stretches, settings.topics.events, settings.table.qualified_table))
        return await _Run(source, settings, plan).run(topic)


class _Run:
    """One replay."""

    def __init__(self, source: Source[ConsumerSettings], settings: ConsumerSettings, plan: Plan) -> None:
        self._source = source
        self._settings = settings
        self._plan = plan
        self._metrics = ConsumerMetrics(CollectorRegistry())
        self._left_out = LeftOut()

    async def run(self, topic: EventsTopic) -> int:
        """Do it, and return the exit code. Raises `Exit` and KafkaError."""
        logs_of = topic.assign(self._plan.stretches)
        writer = writer_of(self._settings, self._metrics)
        stages = stages_of(self._settings, writer, self._left_out, self._metrics, Breaker(on=False))
        begun, finished = None, False
        log_for_people()
        try:
            async with stop_event() as stop:
                if await unless(stop, writer.connect()):
                    begun = monotonic()
                    with progress(logs_of):
                        finished = await unless(stop, write_all(logs_of, stages))
                else:
                    click.echo("interrupted; nothing was replayed")
        finally:
            ended = monotonic()
            await writer.close(_DISCONNECT_DEADLINE_S)
            # Also when it was interrupted: what is written by then stays so.
            if begun is not None:
                self._tell(logs_of, ended - begun)
        return self._verdict(logs_of) if finished else INTERRUPTED

    def _tell(self, logs_of: Sequence[StretchLog], seconds: float) -> None:
        totals = self._metrics.totals
        for line in words.summary(totals, seconds):
            click.echo(line)
        left = [log.next for log in logs_of if log.next.offsets]
        for log in logs_of:
            if log.unreadable is not None:
                click.echo(f"partition {log.number} cannot be read at offset {log.unreadable}")
            for lost in log.lost:
                click.echo(f"{lost} was deleted by Kafka before it was read")
        if refused := self._left_out.refused:
            places = ", ".join(map(str, refused))
            more = totals.set_aside["refused"] - len(refused)
            click.echo(f"refused by Cassandra: {places}{f' and {more} more' * (more > 0)}")
        if left:
            click.echo(f"not written; go on with: {self._source.command(PROGRAM, 'replay', *words.options(left))}")
        _audit(self._settings.topics.events, logs_of, totals)

    def _verdict(self, logs_of: Sequence[StretchLog]) -> int:
        whole = not any(log.unreadable is not None or log.lost for log in logs_of)
        return OK if whole and not self._plan.gone and not self._left_out.refused else INCOMPLETE


def tell_gone(plan: Plan) -> None:
    """Say what Kafka does not have any more."""
    for sentence in plan.gone:
        click.echo(f"{PROGRAM}: {sentence}", err=True)


def log_for_people() -> None:
    """Let the pipelines' own lines be seen: what is waited for, and what was left out."""
    logs.configure(LogSettings(), sys.stderr)
    logs.silence_libraries()


def _audit(topic: str, logs_of: Sequence[StretchLog], totals: Totals) -> None:
    records = words.records_of(totals)
    audit_trail.tell(
        PROGRAM,
        "replayed",
        f"Replayed {counted(records, 'record')} of {topic}",
        topic=topic,
        offsets=[str(log.written) for log in logs_of if log.written.offsets],
        records=records,
        rows=totals.written,
    )


@contextmanager
def progress(logs_of: Sequence[StretchLog]) -> Iterator[None]:
    """Show how far it is, on a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    offsets = sum(log.stretch.offsets for log in logs_of)
    with click.progressbar(length=offsets, label="replaying", file=sys.stderr, show_pos=True) as bar:
        for log in logs_of:
            log.advanced = bar.update
        yield


REPLAY: Subcommand[ConsumerSettings] = Subcommand(
    "replay",
    SUMMARY,
    replay,
    [
        click.Option(
            ["--since"], type=Since(), help="What was appended since then: 90s, 30m, 2h, 7d ago, or an ISO time."
        ),
        click.Option(
            ["--offsets"],
            type=_Stretches(),
            multiple=True,
            metavar="PARTITION:FIRST-LAST",
            help="These offsets, the last one too; once for each partition.",
        ),
    ],
)
