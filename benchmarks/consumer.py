"""The consumer against what others do and against the limit of the machine: `make bench-consumer`.

distinct    a backlog of events, each of another user; against single prepared INSERTs, 256 in flight
repeating   a backlog of events of 5,000 users; against a loop that fetches, decodes and forgets
replay      a backlog of events, each of another user, by `lastlogin-consumer replay`; against the consumer
            (only when asked for)
memory      ten million events of ten million users (only when asked for: half an hour)

Kafka, Cassandra (1 GiB of heap) and both sides run on one machine, in turn.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import click

from benchmarks.events import publish
from benchmarks.figures import spread
from benchmarks.processes import DISK, HERE, Consumer, Replay
from benchmarks.servers import servers
from lastlogin_stack.errors import StackError
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.topics import Topics


EVENTS = 1_000_000
FEW_USERS = 5_000
PARTITIONS = 6
INSERTS = 100_000
MANY = 10_000_000
_DEADLINE_S = 1_800.0
# A backlog is caught up with as one would in an outage's wake; freshness does not matter then.
_LINGER_S = "1"


@dataclass(slots=True)
class Runs:
    """What was measured of one side."""

    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def add(self, count: int, seconds: float, cpu_s: float) -> None:
        """Add a run."""
        self.rates.append(count / seconds)
        self.cpu_us.append(cpu_s / count * 1e6)

    def tell(self, name: str, unit: str) -> None:
        """Print median and spread."""
        click.echo(f"  {name:9} {spread(self.rates)} {unit}/s, {spread(self.cpu_us, ' us', 1)} CPU each")


def _empty(layout: Layout) -> None:
    # Each run finds the same table: rows that are there already are written to other places.
    with StatsTable(layout) as table:
        table.truncate()


def _bare(script: str, *arguments: object) -> tuple[float, float]:
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise StackError(f"{script} failed:\n{done.stderr[-2000:]}")
    seconds, cpu_s = map(float, done.stdout.split())
    return seconds, cpu_s


def _consume(layout: Layout, topics: Topics, events: int) -> tuple[float, float, float, dict[str, float]]:
    """Seconds from the first event to the last one done, those of CPU, the most memory in MiB, its metrics."""
    _empty(layout)
    with tempfile.TemporaryDirectory(dir=DISK, prefix="lastlogin-bench-") as name:
        consumer = Consumer(Path(name), layout, topics, linger_s=_LINGER_S)
        try:
            begun, cpu = consumer.wait_for_first()
            done = consumer.wait_for_all(events, _DEADLINE_S)
            return time.monotonic() - begun, consumer.cpu_s() - cpu, consumer.peak_memory_mib(), done
        finally:
            consumer.stop()


def _topics(layout: Layout, events: int, users: int) -> Topics:
    topics = Topics(layout, PARTITIONS)
    begun = time.monotonic()
    publish(layout.kafka_bootstrap, topics.events, PARTITIONS, events, users)
    click.echo(f"  {events:,} events published in {time.monotonic() - begun:.0f} s")
    return topics


def distinct(layout: Layout, rounds: int, events: int) -> float:
    """Print both sides' figures; return the ratio of their medians."""
    click.echo(f"distinct: {events:,} events, each of another user, into rows; {INSERTS:,} single INSERTs")
    topics = _topics(layout, events, events)
    single, ours, memory = Runs(), Runs(), []
    for _ in range(rounds):
        _empty(layout)
        single.add(INSERTS, *_bare("bare_inserts.py", layout.cassandra_address, layout.cassandra_port, INSERTS))
        seconds, cpu_s, peak, done = _consume(layout, topics, events)
        if done["rows_written_total"] != events:
            raise StackError(f"{events} rows were to be written, {done['rows_written_total']:.0f} were")
        ours.add(events, seconds, cpu_s)
        memory.append(peak)
    single.tell("single", "rows")
    ours.tell("consumer", "rows")
    click.echo(f"  memory    {max(memory):.0f} MiB at most")
    return median(ours.rates) / median(single.rates)


def repeating(layout: Layout, rounds: int, events: int) -> float:
    """Print both sides' figures; return the ratio of their medians."""
    click.echo(f"repeating: {events:,} events of {FEW_USERS:,} users")
    topics = _topics(layout, events, FEW_USERS)
    bare, ours, memory, rows = Runs(), Runs(), [], []
    for _ in range(rounds):
        bare.add(events, *_bare("bare_fetch.py", layout.kafka_bootstrap, topics.events, events))
        seconds, cpu_s, peak, done = _consume(layout, topics, events)
        ours.add(events, seconds, cpu_s)
        memory.append(peak)
        rows.append(done["rows_written_total"])
    bare.tell("bare", "events")
    ours.tell("consumer", "events")
    click.echo(f"  rows      {median(rows):,.0f} written of {events:,} events; memory {max(memory):.0f} MiB at most")
    return median(ours.rates) / median(bare.rates)


def replay(layout: Layout, rounds: int, events: int) -> float:
    """Print both sides' figures; return the ratio of their medians."""
    click.echo(f"replay: {events:,} events, each of another user, into rows")
    topics = _topics(layout, events, events)
    ours, again = Runs(), Runs()
    for _ in range(rounds):
        seconds, cpu_s, _, _ = _consume(layout, topics, events)
        ours.add(events, seconds, cpu_s)
        _empty(layout)
        with tempfile.TemporaryDirectory(dir=DISK, prefix="lastlogin-bench-") as name:
            run = Replay(Path(name), layout, topics)
            again.add(events, *run.wait_for_all(events, _DEADLINE_S))
    ours.tell("consumer", "rows")
    again.tell("replay", "rows")
    return median(again.rates) / median(ours.rates)


def memory(layout: Layout, events: int) -> None:
    """Print what a long backlog of as many users costs, a tenth of it first."""
    for count in (events // 100, events // 10, events):
        click.echo(f"memory: {count:,} events, each of another user")
        topics = _topics(layout, count, count)
        seconds, cpu_s, peak, _ = _consume(layout, topics, count)
        click.echo(f"  {count / seconds:,.0f} rows/s, {cpu_s / count * 1e6:.1f} us CPU each, {peak:.0f} MiB at most")


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Runs of each measurement.")
@click.option("--events", default=EVENTS, show_default=True, help="Events of a backlog.")
@click.option("--only", type=click.Choice(["distinct", "repeating", "replay", "memory"]), help="Not all of them.")
def main(rounds: int, events: int, only: str | None) -> None:
    """Measure the consumer, and print ratios at the end."""
    ratios = {}
    with tempfile.TemporaryDirectory(dir=DISK, prefix="lastlogin-bench-") as name, servers(Path(name)) as layout:
        if only in (None, "distinct"):
            ratios["distinct"] = distinct(layout, rounds, events)
        if only in (None, "repeating"):
            ratios["repeating"] = repeating(layout, rounds, events)
        if only == "replay":
            ratios["replay"] = replay(layout, rounds, events)
        if only == "memory":
            memory(layout, MANY if events == EVENTS else events)
    for each, ratio in ratios.items():
        click.echo(f"ratio {each} {ratio:.2f}")


if __name__ == "__main__":
    main()
