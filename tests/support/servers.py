"""The whole pipeline on real servers, as tests handle it: stop one, kill one, and look at what is on the topics."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import Consumer, Message, TopicPartition

from lastlogin_schemas.topics import EVENTS, QUARANTINE
from lastlogin_stack.cassandra import Cassandra
from lastlogin_stack.commands import running_servers, start_pipeline, stop_servers, wipe
from lastlogin_stack.dovecot import Dovecot, DovecotOptions
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import DIRECTORY_VARIABLE, PORT_VARIABLE, Layout, default_directory, layout_from
from lastlogin_stack.services import ConsumerService, ProducerService
from tests.support.audit import holes


def layout_of_tests() -> Layout:
    """Where the servers of tests live unless the environment says otherwise."""
    return layout_from({DIRECTORY_VARIABLE: str(default_directory("test")), PORT_VARIABLE: "18000"} | dict(os.environ))


@contextmanager
def started(layout: Layout, *names: str) -> Iterator[None]:
    """Servers that answer; afterwards only those run that ran before, and what no other run has made is removed."""
    before = running_servers(layout)
    if not before:
        wipe(layout)
    try:
        start_pipeline(layout, names)
        yield
    finally:
        stop_servers(layout, leaving=before)
        if not before:
            wipe(layout)


@dataclass(frozen=True, slots=True)
class Running:
    """Every server of one stack."""

    layout: Layout
    kafka: Kafka
    cassandra: Cassandra
    producer: ProducerService
    consumer: ConsumerService
    dovecot: Dovecot

    def ensure(self, options: DovecotOptions | None = None) -> None:
        """Start whatever a test left stopped, Dovecot with these options (None: as it was); wait for all to answer."""
        if options is not None and options != self.dovecot.options:
            self.dovecot.stop()
            self.dovecot.options = options
        for server in (self.kafka, self.cassandra, self.producer, self.consumer, self.dovecot):
            server.start()
            server.wait_ready()

    def partitions(self, topic: str) -> list[int]:
        """Partition numbers of a topic."""
        consumer = self._reader()
        try:
            return sorted(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        finally:
            consumer.close()

    def read_raw(
        self, topic: str, wanted: Callable[[Message], bool], count: int | None = None, deadline_s: float = 15.0
    ) -> list[Message]:
        """Wanted records of a topic from its beginning: until `count` are there, else to its present end.

        Raises TimeoutError.
        """
        consumer = self._reader()
        try:
            end = {}
            for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
                if low < high:
                    end[partition] = high
            consumer.assign([TopicPartition(topic, partition, 0) for partition in self.partitions(topic)])
            found: list[Message] = []
            deadline = time.monotonic() + deadline_s
            while (len(found) < count) if count is not None else end:
                if time.monotonic() > deadline:
                    message = f"{topic}: {len(found)} wanted records within {deadline_s:g} s"
                    raise TimeoutError(message)
                record = consumer.poll(0.1)
                if record is None or record.error():
                    continue
                if record.offset() + 1 >= end.get(record.partition(), -1):
                    end.pop(record.partition(), None)
                if wanted(record):
                    found.append(record)
            return found
        finally:
            consumer.close()

    def holes(self) -> dict[str, list[int]]:
        """Sequence numbers missing on events and quarantine, by backend and epoch; empty when nothing is lost."""
        records = [
            record
            for topic in (EVENTS, QUARANTINE)
            for record in self.read_raw(topic, lambda message: bool(message.headers()), deadline_s=60)
        ]
        return holes(dict(record.headers()).get("origin") for record in records)

    def _reader(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.layout.kafka_bootstrap,
                "group.id": "tests-raw",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
