"""A publisher on a spool of a test's own, and what it leaves in Kafka, read by a client that it does not use."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from uuid import uuid4

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic  # type: ignore[attr-defined]

from lastlogin_producer.publisher import Publisher
from lastlogin_producer.settings import PublisherSettings
from lastlogin_producer.spool import Spool
from lastlogin_schemas.topics import topic_spec
from lastlogin_service.kafka import KafkaSettings, TopicSettings
from lastlogin_stack.layout import Layout
from tests.support.spool import open_spool
from tests.support.topics import configure


_DEADLINE_S = 20.0


class Record(NamedTuple):
    """One record of a topic."""

    partition: int
    key: bytes
    value: bytes
    headers: dict[str, bytes]
    # When Kafka appended it, in milliseconds.
    appended_at_ms: int


class OutTopics:
    """Names of an events and a quarantine topic of one test, which makes them itself; each on so many brokers."""

    def __init__(self, servers: list[str], replicas: int = 1, min_insync_replicas: int = 1) -> None:
        name = uuid4().hex[:12]
        self.settings = TopicSettings(events=f"out-{name}", quarantine=f"out-{name}-quarantine")
        self.events = self.settings.events
        self.quarantine = self.settings.quarantine
        self.kafka = KafkaSettings(bootstrap_servers=servers, request_timeout_ms=5_000)
        self._replicas = replicas
        self._min_insync_replicas = min_insync_replicas
        self._servers: dict[str, Any] = {"bootstrap.servers": ",".join(servers), "log_level": 0}
        self._admin = AdminClient(self._servers)
        self._made: list[str] = []

    @property
    def producer_settings(self) -> dict[str, str]:
        """Variables, without their prefix, with which a producer publishes here."""
        return {
            "KAFKA__BOOTSTRAP_SERVERS": ",".join(self.kafka.bootstrap_servers),
            "TOPICS__EVENTS": self.events,
            "TOPICS__QUARANTINE": self.quarantine,
        }

    def create(self, name: str, partitions: int = 3) -> None:
        """Make a topic as `lastlogin topics apply` would."""
        spec = topic_spec(
            name,
            partitions=partitions,
            replication_factor=self._replicas,
            min_insync_replicas=self._min_insync_replicas,
        )
        topic = NewTopic(name, partitions, self._replicas, config=spec.configs)
        self._admin.create_topics([topic])[name].result(_DEADLINE_S)
        self._made.append(name)

    def delete(self) -> None:
        """Delete what was made."""
        if self._made:
            for future in self._admin.delete_topics(self._made).values():
                future.result(_DEADLINE_S)

    def configure(self, name: str, key: str, value: str) -> None:
        """Change one setting of a topic."""
        configure(self._admin, name, key, value)

    def grow(self, name: str, partitions: int) -> None:
        """Add partitions to a topic."""
        self._admin.create_partitions([NewPartitions(name, partitions)])[name].result(_DEADLINE_S)

    def leaders(self, name: str) -> dict[int, int]:
        """Leading broker of each partition; -1 where there is none."""
        topic = self._admin.list_topics(name, timeout=_DEADLINE_S).topics[name]
        return {number: partition.leader for number, partition in topic.partitions.items()}

    def in_sync(self, name: str) -> int:
        """Fewest replicas in sync over all partitions."""
        topic = self._admin.list_topics(name, timeout=_DEADLINE_S).topics[name]
        return min(len(partition.isrs) for partition in topic.partitions.values())

    def records(self, name: str) -> list[Record]:
        """Everything in a topic, partition by partition."""
        consumer = Consumer({**self._servers, "group.id": "out", "enable.auto.commit": False})
        try:
            found: list[Record] = []
            for number in sorted(consumer.list_topics(name, timeout=_DEADLINE_S).topics[name].partitions):
                where = TopicPartition(name, number, 0)
                low, high = consumer.get_watermark_offsets(where, timeout=_DEADLINE_S)
                consumer.assign([where])
                records: Any = [] if low == high else consumer.consume(high - low, timeout=_DEADLINE_S)
                found += [Record(number, r.key(), r.value(), dict(r.headers()), r.timestamp()[1]) for r in records]
            return found
        finally:
            consumer.close()


@contextmanager
def out_topics(layout: Layout) -> Iterator[OutTopics]:
    """Topics that are deleted afterwards."""
    topics = OutTopics([layout.kafka_bootstrap])
    try:
        yield topics
    finally:
        topics.delete()


@contextmanager
def made_topics(layout: Layout) -> Iterator[OutTopics]:
    """As `out_topics`, and made before."""
    with out_topics(layout) as topics:
        topics.create(topics.events)
        topics.create(topics.quarantine, partitions=1)
        yield topics


@asynccontextmanager
async def publishing(directory: Path, topics: OutTopics, **settings: Any) -> AsyncIterator[tuple[Spool, Publisher]]:
    """A spool that a publisher empties; both end with the block."""
    async with open_spool(directory) as spool:
        publisher = Publisher(
            spool,
            topics.kafka,
            topics.settings,
            PublisherSettings(**settings),
            Random(1),  # noqa: S311 - jitter
        )
        task = asyncio.create_task(publisher.run())
        try:
            yield spool, publisher
        finally:
            task.cancel()
            await asyncio.wait({task})


async def waiting(spool: Spool, rows: int, deadline_s: float = 30.0) -> None:
    """Wait until exactly so many rows wait for Kafka. Raises TimeoutError."""
    await eventually(lambda: spool.rows_waiting == rows, deadline_s)


async def eventually(condition: Callable[[], bool], deadline_s: float = 30.0) -> None:
    """Wait until `condition` holds. Raises TimeoutError."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.01)
