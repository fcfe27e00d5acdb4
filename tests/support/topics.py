"""Topics of a test's own on a real Kafka, through a client that our services do not use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.topics import topic_spec
from lastlogin_stack.kafka import cluster_bootstrap
from lastlogin_stack.layout import Layout
from tests.support.logins import message


_DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Letter:
    """One record of the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]

    @property
    def story(self) -> dict[str, str]:
        """The headers, the last of each name, as text."""
        return {name: value.decode() for name, value in self.headers}


class Topics:
    """An events topic and a dead-letter topic of one test, on the one broker or on the three."""

    def __init__(self, layout: Layout, partitions: int, *, cluster: bool = False) -> None:
        servers = cluster_bootstrap(layout) if cluster else [layout.kafka_bootstrap]
        self.servers = ",".join(servers)
        self._replicas = len(servers)
        self.events = f"events-{uuid4().hex[:12]}"
        self.dead_letters = f"dlq-{self.events}"
        self._servers: dict[str, Any] = {"bootstrap.servers": self.servers, "log_level": 0}
        self._admin = AdminClient(self._servers)
        # What is too large for the topic, the broker is to refuse.
        self._producer = Producer({**self._servers, "message.max.bytes": 16 * 1024 * 1024})
        self.create(self.events, partitions)
        self.create(self.dead_letters, 1)

    def create(self, name: str, partitions: int, **configs: str) -> None:
        """Make a topic as `lastlogin topics apply` would, but for `configs`."""
        replicas = self._replicas
        spec = topic_spec(
            name, partitions=partitions, replication_factor=replicas, min_insync_replicas=(replicas + 1) // 2
        )
        new = NewTopic(name, partitions, replicas, config=spec.configs | configs)
        self._admin.create_topics([new])[name].result(_DEADLINE_S)

    def configure(self, name: str, key: str, value: str) -> None:
        """Change one setting of a topic."""
        configure(self._admin, name, key, value)

    def delete(self, *names: str) -> None:
        """Delete topics."""
        for future in self._admin.delete_topics(list(names)).values():
            future.result(_DEADLINE_S)

    def publish(self, *events: LoginEvent, partition: int | None = None) -> None:
        """Publish logins, each to its user's partition unless `partition` is given."""
        for event in events:
            value, headers = message(event)
            self.publish_raw(value, headers, key=event.user.encode(), partition=partition)
        self.flush()

    def publish_raw(
        self,
        value: bytes | None,
        headers: Any = (),
        *,
        key: bytes | None = b"test1",
        partition: int | None = None,
        acknowledged: Callable[[int, int], None] | None = None,
    ) -> None:
        """Publish a record as it is; `flush` waits for the acknowledgement.

        `acknowledged` is told where it stands: partition and offset.
        """

        def told(error: object, record: Any) -> None:
            assert error is None, error
            if acknowledged is not None:
                acknowledged(record.partition(), record.offset())

        where: dict[str, Any] = {} if partition is None else {"partition": partition}
        self._producer.produce(self.events, value, key, headers=list(headers), on_delivery=told, **where)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until everything is acknowledged."""
        assert self._producer.flush(_DEADLINE_S) == 0

    def delete_records(self, before: int, partition: int = 0) -> None:
        """Delete the records of a partition below an offset."""
        where = TopicPartition(self.events, partition, before)
        for future in self._admin.delete_records([where]).values():
            future.result(_DEADLINE_S)

    def letters(self, topic: str | None = None) -> list[Letter]:
        """Everything in the dead-letter topic, or in another one that has one partition."""
        with self._member("letters") as reader:
            where = TopicPartition(topic or self.dead_letters, 0, 0)
            low, high = reader.get_watermark_offsets(where, timeout=_DEADLINE_S)
            reader.assign([where])
            records: Any = [] if low == high else reader.consume(high - low, timeout=_DEADLINE_S)
            return [Letter(record.key(), record.value(), record.headers()) for record in records]

    def lag(self, group: str) -> int:
        """Records that the group has not committed, over all partitions."""
        with self._member(group) as reader:
            return sum(high - max(low, where.offset) for where, low, high in self._ranges(reader))

    def committed(self, group: str) -> dict[int, int]:
        """Offset that the group has committed, by partition; 0 where it has none."""
        with self._member(group) as reader:
            return {where.partition: max(0, where.offset) for where, _, _ in self._ranges(reader)}

    def reset(self, group: str) -> None:
        """Commit the earliest offsets for a group that has no members."""
        with self._member(group) as reader:
            earliest = [TopicPartition(self.events, where.partition, low) for where, low, _ in self._ranges(reader)]
            reader.commit(offsets=earliest, asynchronous=False)

    @contextmanager
    def _member(self, group: str) -> Iterator[Consumer]:
        reader = Consumer({**self._servers, "group.id": group, "enable.auto.commit": False})
        try:
            yield reader
        finally:
            reader.close()

    def _ranges(self, reader: Consumer) -> list[tuple[TopicPartition, int, int]]:
        """Committed offset, first and next offset of each partition."""
        numbers = reader.list_topics(self.events, timeout=_DEADLINE_S).topics[self.events].partitions
        committed = reader.committed([TopicPartition(self.events, n) for n in numbers], timeout=_DEADLINE_S)
        return [(where, *reader.get_watermark_offsets(where, timeout=_DEADLINE_S)) for where in committed]


def configure(admin: AdminClient, topic: str, key: str, value: str) -> None:
    """Change one setting of a topic."""
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(_DEADLINE_S)


@contextmanager
def own_topics(layout: Layout, partitions: int = 1, *, cluster: bool = False) -> Iterator[Topics]:
    """Topics that are deleted afterwards."""
    topics = Topics(layout, partitions, cluster=cluster)
    try:
        yield topics
    finally:
        topics.delete(topics.events, topics.dead_letters)
