"""Topics of a test's own on a real Kafka, through a client that our services do not use."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

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
        self._producer = Producer(self._servers)
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
    ) -> None:
        """Publish a record as it is; `flush` waits for the acknowledgement."""
        where: dict[str, Any] = {} if partition is None else {"partition": partition}
        self._producer.produce(self.events, value, key, headers=list(headers), **where)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until everything is acknowledged."""
        assert self._producer.flush(_DEADLINE_S) == 0

    def delete_records(self, before: int, partition: int = 0) -> None:
        """Delete the records of a partition below an offset."""
        where = TopicPartition(self.events, partition, before)
        for future in self._admin.delete_records([where]).values():
            future.result(_DEADLINE_S)

    def letters(self) -> list[Letter]:
        """Everything in the dead-letter topic."""
        reader = Consumer({**self._servers, "group.id": "letters", "enable.auto.commit": False})
        try:
            where = TopicPartition(self.dead_letters, 0, 0)
            low, high = reader.get_watermark_offsets(where, timeout=_DEADLINE_S)
            reader.assign([where])
            records: Any = [] if low == high else reader.consume(high - low, timeout=_DEADLINE_S)
            return [Letter(record.key(), record.value(), record.headers()) for record in records]
        finally:
            reader.close()

    def lag(self, group: str) -> int:
        """Records that the group has not committed, over all partitions."""
        reader = Consumer({**self._servers, "group.id": group, "enable.auto.commit": False})
        try:
            numbers = reader.list_topics(self.events, timeout=_DEADLINE_S).topics[self.events].partitions
            lag = 0
            for where in reader.committed([TopicPartition(self.events, n) for n in numbers], timeout=_DEADLINE_S):
                low, high = reader.get_watermark_offsets(where, timeout=_DEADLINE_S)
                lag += high - max(low, where.offset)
            return lag
        finally:
            reader.close()


@contextmanager
def own_topics(layout: Layout, partitions: int = 1, *, cluster: bool = False) -> Iterator[Topics]:
    """Topics that are deleted afterwards."""
    topics = Topics(layout, partitions, cluster=cluster)
    try:
        yield topics
    finally:
        topics.delete(topics.events, topics.dead_letters)
