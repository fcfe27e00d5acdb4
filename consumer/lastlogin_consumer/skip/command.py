"""`lastlogin-consumer skip`: pass a range that cannot be read."""

import asyncio
from collections.abc import Sequence

import click
from prometheus_client import CollectorRegistry

from lastlogin_consumer.breaker import Breaker
from lastlogin_consumer.dead_letters import DeadLetters
from lastlogin_consumer.metrics import ConsumerMetrics
from lastlogin_consumer.replay.command import INTERRUPTED, PROGRAM, log_for_people
from lastlogin_consumer.replay.stretches import Edges, Stretch
from lastlogin_consumer.replay.topic import EventsTopic, events_topic
from lastlogin_consumer.replay.words import records_of
from lastlogin_consumer.replay.writing import write_all
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_consumer.skip.gaps import Survey
from lastlogin_consumer.skip.group import GroupOffset, group_offset
from lastlogin_consumer.skip.surveying import survey
from lastlogin_consumer.stages import backoff, stages_of, writer_of
from lastlogin_service import audit_trail
from lastlogin_service.counting import counted
from lastlogin_service.exits import OK, TEMPFAIL, UNAVAILABLE, Exit
from lastlogin_service.kafka import client_options
from lastlogin_service.signals import stop_event
from lastlogin_service.subcommand import Source, Subcommand
from lastlogin_service.tasks import unless


_CONNECT_DEADLINE_S = 20.0
_DISCONNECT_DEADLINE_S = 3.0

SUMMARY = """Let the group go on behind records of a partition that cannot be read (action partition_held in the log).

Without --yes it only tells, from the group's offset to --to, what can be read and what would be given up: offsets,
times, and between which sequence numbers of which producers they are. With --yes it first writes what can be read
(records of no use go to the dead letters), then moves the offset. The consumers of the group must be stopped for
that. To skip twice is harmless: the second time there is nothing to skip.

\b
Exit codes:
  0 skipped, only told, or nothing to skip     2 usage
  69 Kafka or Cassandra is away     75 the group has members, or try again     78 configuration     130 interrupted
"""


async def skip(source: Source[ConsumerSettings], *, topic: str, partition: int, to: int, yes: bool) -> int:
    """Tell what would be given up; with `yes` do it. Raises `Exit`."""
    settings = source.load()
    if topic != settings.topics.events:
        raise click.UsageError(f"--topic {topic}: topics.events of this configuration is {settings.topics.events}")
    for warning in source.warnings(settings):
        click.echo(f"{PROGRAM}: warning: {warning}", err=True)
    async with events_topic(settings, f"{PROGRAM}-skip") as events:
        edges = await events.edges()
        if partition not in edges:
            raise click.UsageError(f"--partition {partition}: there is no such partition; it has 0 to {max(edges)}")
        if to > edges[partition].end:
            raise click.UsageError(f"--to {to}: goes beyond the end of the partition, {edges[partition].end}")
        async with group_offset(settings, f"{PROGRAM}-skip", partition) as group:
            return await _Skip(settings, events, group, partition, to).run(edges[partition], yes=yes)


class _Skip:
    """One partition's."""

    def __init__(
        self, settings: ConsumerSettings, events: EventsTopic, group: GroupOffset, partition: int, to: int
    ) -> None:
        self._settings = settings
        self._events = events
        self._group = group
        self._partition = partition
        self._to = to
        self._metrics = ConsumerMetrics(CollectorRegistry())

    async def run(self, edges: Edges, *, yes: bool) -> int:
        """Return the exit code. Raises `Exit` and KafkaError."""
        committed = await self._group.committed()
        begin = edges.first if committed is None else committed
        first = max(begin, edges.first)
        if self._to <= first:
            where = f"begins at {first}" if begin < first else f"is at offset {first} already"
            click.echo(f"There is nothing to skip: the group {self._settings.group} {where}.")
            return OK
        if yes:
            await self._group.require_no_members()
        if begin < first:
            click.echo(f"Kafka has deleted offsets {begin} to {first - 1} ({first - begin:,}) before they were read")
        stretch = Stretch(self._partition, first, self._to)
        click.echo(
            f"offsets {first} to {self._to - 1} of partition {self._partition} of {self._settings.topics.events}, "
            f"which the group {self._settings.group} has not passed: {stretch.offsets:,}"
        )
        found = await survey(self._events, stretch, edges)
        for line in found.text():
            click.echo(line)
        if not yes:
            click.echo("Nothing was changed; --yes does it, when the consumers of the group are stopped.")
            return OK
        if not await self._write(found.rest):
            click.echo("Interrupted: the group's offset has not been moved.")
            return INTERRUPTED
        return await self._move(committed, found)

    async def _write(self, stretches: Sequence[Stretch]) -> bool:
        """Write what can be read, and set aside what is of no use; whether that was not interrupted."""
        letters = DeadLetters(
            client_options(self._settings.kafka, f"{PROGRAM}-skip"), self._settings.topics.dead_letters, backoff
        )
        writer = writer_of(self._settings, self._metrics)
        stages = stages_of(self._settings, writer, letters, self._metrics, Breaker(on=False))

        async def write() -> None:
            try:
                async with asyncio.timeout(_CONNECT_DEADLINE_S):
                    await writer.connect()
            except TimeoutError:
                raise Exit(UNAVAILABLE, f"{writer.problem}; nothing was skipped") from None
            await letters.start()
            for stretch in stretches:
                logs_of = self._events.assign([stretch])
                await write_all(logs_of, stages)
                if any(log.unreadable is not None or log.lost for log in logs_of):
                    raise Exit(TEMPFAIL, "some of what could be read just now cannot be read any more; look again")

        log_for_people()
        try:
            async with stop_event() as stop:
                return await unless(stop, write())
        finally:
            await writer.close(_DISCONNECT_DEADLINE_S)
            await letters.stop(_DISCONNECT_DEADLINE_S)

    async def _move(self, committed: int | None, found: Survey) -> int:
        # Another operator may have been quicker.
        now = await self._group.committed()
        if now != committed:
            raise Exit(TEMPFAIL, f"the group's offset has been moved meanwhile, from {committed} to {now}; look again")
        acknowledged = await self._group.move(self._to)
        given_up = sum(each.offsets for each in found.given_up)
        totals = self._metrics.totals
        audit_trail.tell(
            PROGRAM,
            "skipped",
            f"The group goes on at offset {self._to} of partition {self._partition}: "
            f"{counted(given_up, 'record is', 'records are')} given up",
            topic=self._settings.topics.events,
            group=self._settings.group,
            partition=self._partition,
            first=found.stretch.first,
            to=self._to,
            given_up=given_up,
            offsets=[str(each) for each in found.given_up],
            records=records_of(totals),
            rows=totals.written,
            in_doubt=not acknowledged,
        )
        if not acknowledged:
            raise Exit(UNAVAILABLE, "Kafka did not acknowledge the group's offset; look again")
        click.echo(
            f"{counted(records_of(totals), 'record was', 'records were')} read "
            f"({counted(totals.written, 'row')} written, {totals.set_aside.total():,} set aside), "
            f"{given_up:,} given up. The group {self._settings.group} goes on at offset {self._to}."
        )
        return OK


SKIP: Subcommand[ConsumerSettings] = Subcommand(
    "skip",
    SUMMARY,
    skip,
    [
        click.Option(["--topic"], required=True, help="The events topic, as in the configuration."),
        click.Option(["--partition"], type=click.IntRange(0), required=True, help="Number of the partition."),
        click.Option(["--to"], type=click.IntRange(1), required=True, metavar="OFFSET", help="Where to go on."),
        click.Option(["--yes"], is_flag=True, help="Do it; else it is only told."),
    ],
)
