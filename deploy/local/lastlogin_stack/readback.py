"""Look at what came out, from outside: the events on the topic and the rows in the table.

Events are read with confluent-kafka, not with the client that our services use: a bug shared by writer and
reader would hide itself.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from types import TracebackType
from typing import Any, Self

from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import RoundRobinPolicy
from confluent_kafka import Consumer, TopicPartition

import lastlogin_schemas
from lastlogin_schemas import codec, framing, headers
from lastlogin_schemas.errors import Undecodable
from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.table import TableMapping, literal, select_cql
from lastlogin_schemas.topics import EVENTS
from lastlogin_stack.cassandra import RING, RING_DATA_CENTER, ring_address
from lastlogin_stack.layout import Layout


POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the topic with the event that it carries, checked against its checksum."""

    partition: int
    offset: int
    event: LoginEvent


class EventReader:
    """Reads the topic of events, from its end or from its beginning, and passes over what is no event."""

    def __init__(self, layout: Layout, *, from_beginning: bool = False, topic: str = EVENTS) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": layout.kafka_bootstrap,
                "group.id": "lastlogin-readback",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
                "log_level": 0,
            }
        )
        partitions = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        self._end: dict[int, int] = {}
        start = []
        for partition in partitions:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            self._end[partition] = high
            start.append(TopicPartition(topic, partition, low if from_beginning else high))
        self._next = {each.partition: each.offset for each in start}
        self._consumer.assign(start)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def wait_for(self, wanted: Callable[[LoginEvent], bool], deadline_s: float) -> Record | None:
        """Read on until an event is `wanted`; None when the deadline passed without one."""
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline:
            record = self._poll(0.1)
            if record is not None and wanted(record.event):
                return record
        return None

    def read_to_end(self, deadline_s: float) -> list[Record]:
        """Everything from the start to where the topic ended when this reader was made.

        Raises TimeoutError when the deadline passed before.
        """
        records: list[Record] = []
        deadline = time.monotonic() + deadline_s
        while any(self._next[partition] < end for partition, end in self._end.items()):
            if time.monotonic() > deadline:
                message = f"read {len(records)} events, not all, within {deadline_s:g} s"
                raise TimeoutError(message)
            if (record := self._poll(0.1)) is not None:
                records.append(record)
        return records

    def _poll(self, timeout_s: float) -> Record | None:
        message: Any = self._consumer.poll(timeout_s)
        if message is None or message.error():
            return None
        self._next[message.partition()] = message.offset() + 1
        try:
            writer, body = framing.split(message.value(), {})
            headers.verify_checksum(body, message.headers() or [])
            return Record(message.partition(), message.offset(), codec.decode_login_event(body, writer))
        except Undecodable:
            # No event: somebody has put it there to see what becomes of it.
            return None


@dataclass(frozen=True, slots=True)
class Cell:
    """What the row says of one service: time, address, and the write times of both (microseconds)."""

    time: datetime
    address: str | None
    time_written_us: int
    address_written_us: int | None


class StatsTable:
    """The table, as cqlsh would see it: on the one node, or on the ring; `login` is a role and its password."""

    def __init__(self, layout: Layout, *, ring: bool = False, login: tuple[str, str] | None = None) -> None:
        profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=20)
        self._cluster = Cluster(
            [ring_address(node) for node in RING] if ring else [layout.cassandra_address],
            port=layout.ring_port if ring else layout.cassandra_port,
            auth_provider=PlainTextAuthProvider(*login) if login is not None else None,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            protocol_version=5,
        )
        try:
            self.session: Session = self._cluster.connect()
        except BaseException:  # whatever it is, the driver's threads must end; passed on
            self._cluster.shutdown()
            raise
        self.mapping = TableMapping()
        self._ring = ring

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.shutdown()

    def create(self) -> None:
        """Run the delivered tables.cql; on the ring with three replicas."""
        if self._ring:
            self.session.execute(
                f"CREATE KEYSPACE IF NOT EXISTS {self.mapping.keyspace} "
                f"WITH replication = {{'class': 'NetworkTopologyStrategy', '{RING_DATA_CENTER}': {len(RING)}}}"
            )
        text = (files(lastlogin_schemas) / "tables.cql").read_text("utf-8")
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
        for statement in "\n".join(lines).split(";"):
            if statement.strip():
                self.session.execute(statement)

    def truncate(self) -> None:
        """Empty the table."""
        self.session.execute(f"TRUNCATE {self.mapping.qualified_table}")

    def row(self, user: str) -> dict[str, Cell]:
        """The services that `user` has used; empty when there is no row."""
        found: Any = self.session.execute(select_cql(self.mapping, literal(user))).one()
        return {} if found is None else cells(self.mapping, found)

    def wait_for(self, user: str, wanted: Callable[[dict[str, Cell]], bool], deadline_s: float) -> dict[str, Cell]:
        """The row of `user` once it is `wanted`, else as it is when the deadline has passed."""
        deadline = time.monotonic() + deadline_s
        while not wanted(row := self.row(user)) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return row


def cells(mapping: TableMapping, row: Sequence[Any]) -> dict[str, Cell]:
    """The services that the user of a row has used; the row is one of `select_cql`."""
    used = {}
    values = iter(row[1:])
    for service in mapping.services:
        time_, time_written, address, address_written = (next(values) for _ in range(4))
        if time_ is not None:
            used[service] = Cell(time_, address, time_written, address_written)
    return used
