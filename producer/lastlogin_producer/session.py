"""Publishing over one Kafka producer, until it fails or the topics change.

Rows are read in order and sorted into lanes, one for each partition; each lane sends its own batches, one after the
other. A row leaves the spool when Kafka has acknowledged it, and never before. A lane whose partition does not take
its rows lets go of them (they are in the spool) and remembers the first one: the others go on, and when the
partition takes a batch again, they are read once more.
"""

import asyncio
import time
from random import Random

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.client import ConnectionGroup
from aiokafka.errors import (
    BrokerResponseError,
    KafkaError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from aiokafka.protocol.metadata import MetadataRequest

from lastlogin_producer.delivery import Delivery, Undelivered
from lastlogin_producer.lane import Lane
from lastlogin_producer.out_topics import OutTopics, TopicsChanged
from lastlogin_producer.publish_stats import PublishStats
from lastlogin_producer.reading import Reading, Rewound
from lastlogin_producer.spool import Kind, Spool
from lastlogin_service.logs import Occasionally
from lastlogin_service.tasks import cancel


# In memory between spool and Kafka's acknowledgement, over all lanes: a second of the fastest drain. Each lane has
# its share, so that partitions which hang leave the others theirs.
_MAX_ROWS = 20_000
_MAX_BYTES = 8 * 1_048_576
# What is tried on a partition that did not take rows before; and where it refused them for their content, how many of
# them, the first among them, for one of the others may be good.
_PROBE_ROWS = 500
_SAMPLE_ROWS = 16

# aiokafka answers for a batch within two request timeouts, one of them for a connection; another batch to the same
# broker may come first.
_OVERDUE_TIMEOUTS = 3
_PROBE_S = 3.0

_log = structlog.get_logger(__name__)


class Stuck(KafkaError):  # type: ignore[misc]
    """aiokafka no longer does its work, although Kafka answers."""


class Session:
    """Publishes the spool through `producer`, which must have been started.

    `occasionally` outlives sessions, so that a repeated complaint stays rate-limited.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        delivery: Delivery,
        topics: OutTopics,
        *,
        spool: Spool,
        rng: Random,
        request_timeout_s: float,
        occasionally: Occasionally,
        stats: PublishStats,
    ) -> None:
        self._producer = producer
        self._client = producer.client
        self._delivery = delivery
        self._topics = topics
        self._spool = spool
        self._rng = rng
        self._request_timeout_s = request_timeout_s
        self._occasionally = occasionally
        self._stats = stats
        self._lanes: list[Lane] = []
        self._reaching: dict[int, asyncio.Task[bool]] = {}

    async def run(self) -> None:
        """Publish until there is reason to begin anew: other topics, or rows that wait again.

        Raises an exception group when the producer is of no more use.
        """
        self._stats.in_flight = lambda: sum(lane.held_rows for lane in self._lanes)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_sender())
                group.create_task(self._topics.look_up())
                # Else a long spool would be read for nothing.
                await self._topics.some.wait()
                partitions = self._topics.partitions()
                routes = self._routes(partitions)
                self._lanes = [lane for lanes in routes.values() for lane in lanes]
                self._reading = reading = Reading(
                    self._spool, routes, lambda lane: group.create_task(self._serve(lane))
                )
                group.create_task(self._watch_lanes())
                group.create_task(reading.catch_up())
                await reading.at_the_tail(lambda: self._topics.require(partitions))

        except* (TopicsChanged, Rewound):
            self._lanes.clear()
        finally:
            # Whoever closes the client closes the connections that it has, not one that is just being made.
            await cancel(self._reaching.values())

    def _routes(self, partitions: dict[str, int]) -> dict[int, list[Lane]]:
        lanes = sum(partitions.values())
        max_rows, max_bytes = max(1, _MAX_ROWS // lanes), max(1, _MAX_BYTES // lanes)
        return {
            kind: [Lane(topic, number, self._rng, max_rows, max_bytes) for number in range(partitions[topic])]
            or [Lane(topic, None, self._rng)]
            for kind, topic in (
                (int(Kind.LOGIN_EVENT), self._topics.events),
                (int(Kind.RAW_WRITE), self._topics.quarantine),
            )
        }

    async def _serve(self, lane: Lane) -> None:
        """Send a lane's rows until it has none."""
        while lane.rows:
            try:
                await self._delivery.deliver(lane, lane.rows)
            except Undelivered as left:
                await self._recover(lane, left)
            if lane.behind is not None:
                self._reading.changed()
        lane.active = False

    async def _recover(self, lane: Lane, left: Undelivered) -> None:
        """Offer a few rows from time to time until the partition takes them; then open the lane again."""
        while True:
            lane.let_go(left.first)
            await self._require_kafka(left.error)
            self._complain(lane, left.error)
            await asyncio.sleep(lane.backoff.next())
            try:
                await self._probe(lane, sample=left.refused)
            except Undelivered as again:
                left = again
            else:
                break
        lane.closed = False
        self._tell_accepted(lane)

    async def _require_kafka(self, error: KafkaError) -> None:
        """Raise `error` when it is not about one broker, but none can be reached."""
        answered = isinstance(error, BrokerResponseError) and not isinstance(error, RequestTimedOutError)
        if not (answered or await self._client.force_metadata_update()):
            raise error

    async def _probe(self, lane: Lane, *, sample: bool) -> None:
        """Offer the first rows that the lane lacks. Raises `Undelivered`."""
        first = lane.behind or 0
        node = self._delivery.leader(lane)
        if node is None:
            self._client.force_metadata_update()
            raise Undelivered(first, LeaderNotAvailableError(), refused=False)
        if not await self._reach(node):
            raise Undelivered(first, NodeNotReadyError(), refused=False)
        read = await self._spool.read(first - 1, _PROBE_ROWS)
        rows = [row for row in read if self._reading.lane_of(row) is lane]
        if sample and len(rows) > _SAMPLE_ROWS:
            rows = [rows[0], *sorted(self._rng.sample(rows[1:], _SAMPLE_ROWS - 1))]
        for row in rows:
            lane.take(row)
        while lane.rows:
            await self._delivery.deliver(lane, lane.rows)
        if rows and not sample:
            lane.behind = rows[-1].sequence + 1

    async def _reach(self, node: int) -> bool:
        """Whether there is a connection to a broker; made once for all lanes, for aiokafka makes one at a time."""
        reaching = self._reaching.get(node)
        if reaching is None or reaching.done():
            reaching = self._reaching[node] = asyncio.create_task(self._client.ready(node))
        return bool(await asyncio.shield(reaching))

    async def _watch_sender(self) -> None:
        await asyncio.wait({self._producer._sender.sender_task})  # noqa: SLF001 - its end shows itself nowhere else
        raise Stuck("aiokafka's sender has ended")

    async def _watch_lanes(self) -> None:
        """Look for batches that should have been answered long ago by a broker that is there."""
        while True:
            await asyncio.sleep(self._request_timeout_s / 2)
            overdue = time.monotonic() - _OVERDUE_TIMEOUTS * self._request_timeout_s
            for lane in self._lanes:
                begun = lane.handed_over_at
                if begun is None or begun > overdue or not await self._answers(self._delivery.leader(lane)):
                    continue
                if lane.handed_over_at == begun:
                    raise Stuck("aiokafka does not send, although Kafka answers")

    async def _answers(self, node: int | None) -> bool:
        request = MetadataRequest([self._topics.events], allow_auto_topic_creation=False)
        try:
            async with asyncio.timeout(_PROBE_S):
                # In this group, for the other connection may be what is stuck.
                await self._client.send(node, request, group=ConnectionGroup.COORDINATION)
        except (KafkaError, TimeoutError):
            return False
        return True

    def _complain(self, lane: Lane, error: KafkaError) -> None:
        """Name a partition that does not take its rows, and why; nothing is ever dropped for it."""
        suppressed = self._occasionally.suppressed((lane.topic, type(error)))
        if suppressed is not None:
            _log.error(
                f"Kafka {'cannot take' if error.retriable else 'refuses'} messages for {lane.topic}, partition "
                f"{lane.partition}: {type(error).__name__}; they stay in the spool and are offered again",
                action="partition_refuses",
                topic=lane.topic,
                partition=lane.partition,
                first_sequence=lane.behind,
                suppressed=suppressed,
            )

    def _tell_accepted(self, lane: Lane) -> None:
        suppressed = self._occasionally.suppressed((lane.topic, "accepts"))
        if suppressed is not None:
            _log.info(
                f"Kafka takes messages for {lane.topic}, partition {lane.partition}, again",
                action="partition_accepts",
                topic=lane.topic,
                partition=lane.partition,
                rows=self._spool.rows_waiting,
                suppressed=suppressed,
            )
