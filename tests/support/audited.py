"""Topics, a table and a group of one test, and the command that holds them against each other."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from lastlogin_schemas.event import LoginEvent, RawWrite
from lastlogin_schemas.table import TableMapping, insert_cql, literal
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.aside import published
from tests.support.command import Ended, lastlogin
from tests.support.logins import login
from tests.support.own_table import OwnTable, own_table
from tests.support.topics import Topics, own_topics


SERVICES = ("imap", "pop3", "webmail", "lmtp")


class Audited:
    """Logins are numbered as one producer does it; rows are written as the consumer does, or otherwise."""

    def __init__(self, layout: Layout, topics: Topics, table: OwnTable, stats: StatsTable) -> None:
        self.layout = layout
        self.topics = topics
        self.table = table
        self.group = topics.events
        self.quarantine = f"{topics.events}-quarantine"
        self.session = stats.session
        self.mapping = TableMapping(table=table.name)
        # Some seconds ago: what Kafka gets now is not from the future.
        self.now_us = time.time_ns() // 1000 - 10_000_000
        self._sequence = 0

    def number(self) -> int:
        """The next number of the producer."""
        self._sequence += 1
        return self._sequence

    def login(self, user: str, after_us: int = 0, *, service: str = "imap", ip: str | None = "192.0.2.1") -> LoginEvent:
        """A login of these days, with a number."""
        return login(user, self.now_us + after_us, service=service, ip=ip)._replace(sequence=self.number())

    def write(self, *events: LoginEvent) -> None:
        """Write rows as the consumer does."""
        for event in events:
            statement = self.session.prepare(insert_cql(self.mapping, event.service))
            at = event.login_at_us
            self.session.execute(statement, (event.user, at // 1000, event.remote_ip, at))

    def execute(self, change: str, event: LoginEvent) -> None:
        """Change the row of an event's user: what stands before WHERE."""
        self.session.execute(f"{change} WHERE user = {literal(event.user)}")

    def quarantined(self, raw: RawWrite) -> None:
        """Publish a write that was set aside."""
        self._publish(self.quarantine, *published(raw))

    def letter(self, partition: int, offset: int, reason: str = "future") -> None:
        """Publish a dead letter about a record, whose bytes do not matter here."""
        story = [
            ("topic", self.topics.events),
            ("partition", str(partition)),
            ("offset", str(offset)),
            ("reason", reason),
        ]
        self.set_aside(None, b"", [(name, value.encode()) for name, value in story])

    def set_aside(self, key: bytes | None, value: bytes, headers: Any) -> None:
        """Publish a dead letter as it is."""
        self._publish(self.topics.dead_letters, key, value, headers)

    def _publish(self, topic: str, key: bytes | None, value: bytes, headers: Any) -> None:
        producer = Producer({"bootstrap.servers": self.topics.servers, "log_level": 0})
        producer.produce(topic, value, key, headers=headers)
        assert producer.flush(20) == 0

    def commit(self) -> None:
        """Commit everything that is on the topic now, as a consumer that has written it."""
        reader = Consumer({"bootstrap.servers": self.topics.servers, "group.id": self.group, "log_level": 0})
        try:
            numbers = reader.list_topics(self.topics.events, timeout=20).topics[self.topics.events].partitions
            places = [TopicPartition(self.topics.events, number) for number in numbers]
            ends = [reader.get_watermark_offsets(each, timeout=20)[1] for each in places]
            offsets = [TopicPartition(p.topic, p.partition, end) for p, end in zip(places, ends, strict=True)]
            reader.commit(offsets=offsets, asynchronous=False)
        finally:
            reader.close()

    @property
    def variables(self) -> dict[str, str]:
        """Settings of the command, without their prefix."""
        return {
            "TOPICS__EVENTS": self.topics.events,
            "TOPICS__QUARANTINE": self.quarantine,
            "TOPICS__DEAD_LETTERS": self.topics.dead_letters,
            "CASSANDRA__TABLE": self.table.name,
        }

    def run(self, *arguments: str, **variables: str) -> Ended:
        """Run the command; numbers may not be on their way any more."""
        options = ("--group", self.group, "--in-flight", "0")
        return lastlogin(self.layout, "audit", *options, *arguments, **self.variables | variables)

    def found(self, code: int, **variables: str) -> dict[str, Any]:
        """What it finds, with details; it must end with this code."""
        done = self.run("--details", "--json", **variables)
        assert (done.code, done.err) == (code, ""), done
        return dict(json.loads(done.out))


def details(found: dict[str, Any]) -> Sequence[tuple[str, str, str]]:
    """Verdict, user and service of each row that is wrong."""
    return sorted((each["verdict"], each["user"], each["service"]) for each in found["details"])


@contextmanager
def audited(layout: Layout, partitions: int = 3) -> Iterator[Audited]:
    """All of it empty; removed afterwards."""
    with own_topics(layout, partitions) as topics, own_table(layout) as table, StatsTable(layout) as stats:
        found = Audited(layout, topics, table, stats)
        topics.create(found.quarantine, 1)
        try:
            yield found
        finally:
            topics.delete(found.quarantine)


def logins(world: Audited, rng: Random, count: int) -> list[LoginEvent]:
    """Logins of a fifth as many users, in any order, some at the same instant from different addresses."""
    return [
        world.login(
            f"u{rng.randrange(count // 5)}@example.org",
            rng.randrange(1_000) * 1_000,
            service=rng.choice(SERVICES),
            ip=rng.choice((None, "192.0.2.1", "198.51.100.7", "2001:db8::1")),
        )
        for _ in range(count)
    ]
