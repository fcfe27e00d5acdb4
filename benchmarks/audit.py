"""`lastlogin audit` of ten million events and a million rows: `make bench-audit`.

Each user logs in ten times, in turn, so that no event spares another one its place on disk. The consumer writes the
newest login of each; the audit must then find every row right.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
from confluent_kafka import Consumer, TopicPartition

from benchmarks.events import publish
from benchmarks.processes import DISK
from benchmarks.servers import servers
from lastlogin_stack.errors import StackError
from lastlogin_stack.layout import Layout
from tests.support.consumer import ConsumerProcess
from tests.support.topics import Topics


EVENTS, USERS = 10_000_000, 1_000_000
PARTITIONS = 6
_DEADLINE_S = 1_800.0


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit has cost."""

    events: int
    rows: int
    seconds: float
    cpu_s: float
    memory_mib: float

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.events:,} events and {self.rows:,} rows in {self.seconds:.0f} s: {self.events / self.seconds:,.0f} "
            f"events/s, {self.cpu_s / self.events * 1e6:.1f} us of CPU an event, {self.memory_mib:.0f} MiB"
        )


def fill(layout: Layout, topics: Topics, events: int, users: int, directory: Path) -> None:
    """Publish events, and have the consumer write the newest of each user. Raises StackError."""
    topics.create(quarantine(topics), 1)
    publish(layout.kafka_bootstrap, topics.events, PARTITIONS, events - users, users)
    # Only the newest ones are to be written, which takes a tenth of the time.
    reader = Consumer({"bootstrap.servers": topics.servers, "group.id": topics.events, "log_level": 0})
    places = [TopicPartition(topics.events, number) for number in range(PARTITIONS)]
    ends = [reader.get_watermark_offsets(each, timeout=20)[1] for each in places]
    reader.commit(
        offsets=[TopicPartition(each.topic, each.partition, end) for each, end in zip(places, ends, strict=True)],
        asynchronous=False,
    )
    reader.close()
    publish(layout.kafka_bootstrap, topics.events, PARTITIONS, users, users)
    with ConsumerProcess(layout, topics, directory, LINGER_S="1") as consumer:
        consumer.wait_for("assigned")
        deadline = time.monotonic() + _DEADLINE_S
        while topics.lag(consumer.group):
            if time.monotonic() > deadline:
                raise StackError(f"the consumer has not written all within {_DEADLINE_S:g} s")
            time.sleep(0.5)
        consumer.stop()


def quarantine(topics: Topics) -> str:
    """The topic of the quarantine."""
    return f"{topics.events}-quarantine"


def audit(layout: Layout, topics: Topics) -> Audited:
    """Run it. Raises StackError when it finds something wrong."""
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": layout.kafka_bootstrap,
        "CASSANDRA__CONTACT_POINTS": layout.cassandra_address,
        "CASSANDRA__PORT": str(layout.cassandra_port),
        "TOPICS__EVENTS": topics.events,
        "TOPICS__QUARANTINE": quarantine(topics),
        "TOPICS__DEAD_LETTERS": topics.dead_letters,
        "LAG__GROUP": topics.events,
    }
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LASTLOGIN_")}
    environ |= {f"LASTLOGIN_{name}": value for name, value in settings.items()} | {"TMPDIR": DISK}
    begun = time.monotonic()
    command = [str(Path(sys.executable).with_name("lastlogin")), "audit", "--json", "--in-flight", "0"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - for mypy
        found = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begun
    if process.returncode:
        raise StackError(f"the audit ended with {process.returncode}: {found}")
    told = json.loads(found)
    return Audited(
        told["events"]["records"],
        told["rows"]["right"],
        seconds,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024,
    )


@click.command()
@click.option("--events", default=EVENTS, show_default=True)
@click.option("--users", default=USERS, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(events: int, users: int, rounds: int) -> None:
    """Measure the audit."""
    with tempfile.TemporaryDirectory(dir=DISK, prefix="lastlogin-bench-") as name, servers(Path(name)) as layout:
        topics = Topics(layout, PARTITIONS)
        click.echo(f"publishing {events:,} events of {users:,} users, and writing their rows ...")
        fill(layout, topics, events, users, Path(name))
        for _ in range(rounds):
            click.echo(audit(layout, topics))


if __name__ == "__main__":
    main()
