"""Publishing over one Kafka producer, until it fails.

Rows are read in order and sorted into lanes, one for each partition; each lane sends its own batches, one after the
other. A row leaves the spool when Kafka has acknowledged it, and never before. A lane whose partition does not take
its rows lets go of them (they are in the spool) and remembers the first one: the others go on, and when the
partition takes a batch again, reading goes back to that row.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    BrokerResponseError,
    LeaderNotAvailableError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from lastlogin_producer.lane import Lane
from lastlogin_producer.publish_stats import PublishStats
from lastlogin_producer.records import RecordForm
from lastlogin_producer.spool import BEGINNING, Kind, Row, Spool
from lastlogin_schemas.partitioner import partition_of
from lastlogin_service.kafka import TopicSettings
from lastlogin_service.logs import Occasionally


# In memory between spool and Kafka's acknowledgement: a second of the fastest drain.
_MAX_ROWS = 20_000
_MAX_BYTES = 8 * 1_048_576
# Acknowledged rows that are still in the file: they only pile up when the disk refuses to delete them.
_MAX_LEAVING = 50_000
# What is tried on a partition that did not take rows before.
_PROBE_ROWS = 500

# Pause after reading to the end: the first login after a quiet moment goes out at once, those that follow within
# this time share a read and a request, which cost more than all the rest.
_PACE_S = 0.005

_TOPIC_LOOK_UP_S = 2.0

_log = structlog.get_logger(__name__)


class Session:
    """Publishes the spool through `producer`, which must have been started.

    `acknowledged` is called after each batch that Kafka took. `occasionally` outlives sessions, so that a
    repeated complaint stays rate-limited.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        *,
        spool: Spool,
        topics: TopicSettings,
        form: RecordForm,
        rng: Random,
        request_timeout_s: float,
        occasionally: Occasionally,
        acknowledged: Callable[[], None],
        stats: PublishStats,
    ) -> None:
        self._producer = producer
        self._cluster = producer.client.cluster
        self._spool = spool
        self._topics: dict[int, str] = {Kind.LOGIN_EVENT: topics.events, Kind.RAW_WRITE: topics.quarantine}
        self._form = form
        self._rng = rng
        # aiokafka answers for a batch within two of them, unless its sender has died without a word.
        self._give_up_s = 3 * request_timeout_s
        self._occasionally = occasionally
        self._tell_acknowledged = acknowledged
        self._stats = stats
        self._lanes: dict[tuple[str, int | None], Lane] = {}
        self._partitions: dict[str, int] = {}
        self._some_topic = asyncio.Event()
        self._topic_missing = asyncio.Event()
        self._in_flight: set[int] = set()
        self._bytes = 0
        self._cursor = BEGINNING

    async def run(self) -> None:
        """Publish until cancelled. Raises an exception group when the producer is of no more use."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_up_topics())
            # Else a long spool would be read for nothing.
            await self._some_topic.wait()
            while True:
                self._spool.arrived.clear()
                self._cursor = self._spool.go_back(self._cursor)
                if self._cursor < self._spool.last_sequence and self._has_room():
                    await self._read_on(group)
                    if self._cursor >= self._spool.last_sequence:
                        await asyncio.sleep(_PACE_S)
                else:
                    await self._spool.arrived.wait()

    def _has_room(self) -> bool:
        return len(self._in_flight) < _MAX_ROWS and self._bytes < _MAX_BYTES and self._spool.rows_leaving < _MAX_LEAVING

    async def _read_on(self, group: asyncio.TaskGroup) -> None:
        cursor, last = self._cursor, self._spool.last_sequence
        rows = await self._spool.read(cursor)
        if self._cursor < cursor:
            # A lane went back meanwhile.
            return
        self._count_partitions()
        for row in rows:
            if row.sequence in self._in_flight:
                continue
            lane = self._lane_of(row)
            if not lane.offer(row):
                continue
            self._in_flight.add(row.sequence)
            self._bytes += len(row.body)
            if not lane.active:
                lane.active = True
                group.create_task(self._serve(lane))
        self._cursor = rows[-1].sequence if rows else last
        self._stats.in_flight = len(self._in_flight)

    def _count_partitions(self) -> None:
        """Look once for all rows of a read how many partitions there are; the number may grow."""
        for topic in self._topics.values():
            count = len(self._cluster.partitions_for_topic(topic) or ())
            self._partitions[topic] = count
            if not count:
                self._topic_missing.set()

    def _lane_of(self, row: Row) -> Lane:
        topic = self._topics[row.kind]
        count = self._partitions[topic]
        partition = partition_of(self._form.key(row), count) if count else None
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = Lane(topic, partition, self._rng)
        return lane

    async def _serve(self, lane: Lane) -> None:
        """Send a lane's rows until it has none."""
        while lane.rows:
            rows, batch = self._next_batch(lane.rows)
            try:
                await self._send(lane, batch)
            except BrokerResponseError as error:
                self._let_go(lane, rows, error)
                await self._probe(lane)
            else:
                self._acknowledge(lane, rows)
                self._forget(rows)
        lane.active = False

    def _next_batch(self, waiting: deque[Row]) -> tuple[list[Row], Any]:
        """Take as many rows as fit into a batch; the first one always does."""
        form = self._form
        batch = self._producer.create_batch()
        rows: list[Row] = []
        while waiting:
            row = waiting[0]
            if not batch.append(timestamp=None, key=form.key(row), value=form.value(row), headers=form.headers(row)):
                break
            rows.append(waiting.popleft())
        return rows, batch

    async def _send(self, lane: Lane, batch: Any) -> None:
        """Send and wait for the acknowledgement. Raises BrokerResponseError for what concerns this partition."""
        if self._cluster.leader_for_partition(TopicPartition(lane.topic, lane.partition)) in (None, -1):
            # Not left to aiokafka: without a leader it asks for metadata as fast as the network answers.
            self._producer.client.force_metadata_update()
            raise LeaderNotAvailableError
        begun = time.monotonic()
        try:
            async with asyncio.timeout(self._give_up_s):
                await (await self._producer.send_batch(batch, lane.topic, partition=lane.partition))
        except Exception:  # whatever it is, it is counted and passed on
            self._stats.seconds["failed"].observe(time.monotonic() - begun)
            raise
        self._stats.seconds["acknowledged"].observe(time.monotonic() - begun)

    def _acknowledge(self, lane: Lane, rows: Sequence[Row]) -> None:
        self._spool.delivered([row.sequence for row in rows])
        self._stats.published[lane.topic] += len(rows)
        lane.backoff.reset()
        self._tell_acknowledged()

    def _let_go(self, lane: Lane, rows: list[Row], error: BrokerResponseError) -> None:
        rows += lane.rows
        lane.rows.clear()
        lane.paused = True
        lane.skip(rows[0].sequence)
        self._forget(rows)
        self._complain(lane, error)

    def _forget(self, rows: Sequence[Row]) -> None:
        self._in_flight.difference_update(row.sequence for row in rows)
        self._stats.in_flight = len(self._in_flight)
        self._bytes -= sum(len(row.body) for row in rows)
        # There may be room again.
        self._spool.arrived.set()

    async def _probe(self, lane: Lane) -> None:
        """Offer a few rows from time to time until the partition takes them; then go back for the rest."""
        while lane.skipped is not None:
            await asyncio.sleep(lane.backoff.next())
            read = await self._spool.read(lane.skipped - 1, _PROBE_ROWS)
            self._count_partitions()
            rows, batch = self._next_batch(deque(row for row in read if self._lane_of(row) is lane))
            try:
                if rows:
                    await self._send(lane, batch)
            except BrokerResponseError as error:
                self._complain(lane, error)
                continue
            if rows:
                self._acknowledge(lane, rows)
                self._tell_accepted(lane)
            lane.paused = False
            self._go_back(lane)

    def _go_back(self, lane: Lane) -> None:
        if lane.skipped is not None:
            self._cursor = min(self._cursor, lane.skipped - 1)
            lane.skipped = None
            self._spool.arrived.set()

    def _complain(self, lane: Lane, error: BrokerResponseError) -> None:
        """Name a partition that does not take its rows, and why; nothing is ever dropped for it."""
        suppressed = self._occasionally.suppressed((lane.topic, error.errno))
        if suppressed is not None:
            _log.error(
                f"Kafka {'cannot take' if error.retriable else 'refuses'} messages for {lane.topic}, partition "
                f"{lane.partition}: {type(error).__name__}; they stay in the spool and are offered again",
                action="partition_refuses",
                first_sequence=lane.skipped,
                suppressed=suppressed,
            )

    def _tell_accepted(self, lane: Lane) -> None:
        if self._occasionally.suppressed((lane.topic, "accepts")) is not None:
            _log.info(
                f"Kafka takes messages for {lane.topic}, partition {lane.partition}, again",
                action="partition_accepts",
                rows=self._spool.rows_waiting,
            )

    async def _look_up_topics(self) -> None:
        """Keep asking for topics that do not exist, without making them."""
        client = self._producer.client
        while True:
            missing = await self._missing_topics()
            found = [topic for topic in self._unknown_topics() if topic not in missing]
            for topic in found:
                client.add_topic(topic)
            if found:
                await client.force_metadata_update()
            unknown = self._unknown_topics()
            for topic in set(found).difference(unknown):
                self._some_topic.set()
                if lane := self._lanes.get((topic, None)):
                    self._go_back(lane)
            if unknown:
                await asyncio.sleep(_TOPIC_LOOK_UP_S)
            else:
                await self._topic_missing.wait()
                self._topic_missing.clear()

    def _unknown_topics(self) -> list[str]:
        return [topic for topic in self._topics.values() if not self._cluster.partitions_for_topic(topic)]

    async def _missing_topics(self) -> set[str]:
        client = self._producer.client
        missing = set()
        # aiokafka's own look-up would make them where brokers allow that, without the settings they need.
        request = MetadataRequest(self._unknown_topics(), allow_auto_topic_creation=False)
        response = await client.send(client.get_random_node(), request)
        for code, topic, *_ in response.topics:
            error = for_code(code)
            if error in (UnknownTopicOrPartitionError, TopicAuthorizationFailedError):
                missing.add(topic)
                self._tell_missing(topic, forbidden=error is TopicAuthorizationFailedError)
        return missing

    def _tell_missing(self, topic: str, *, forbidden: bool) -> None:
        suppressed = self._occasionally.suppressed(topic)
        if suppressed is not None:
            _log.error(
                f"This producer may not write to the topic {topic}: grant it Describe and Write"
                if forbidden
                else f"The topic {topic} does not exist: make it with `lastlogin topics apply`",
                action="topic_missing",
                topic=topic,
                rows=self._spool.rows_waiting,
                suppressed=suppressed,
            )
