"""Batches on their way to Kafka: built, sent, and taken apart when the broker refuses one for its content."""

import time
from collections import deque
from collections.abc import Callable
from itertools import chain
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import BrokerResponseError, KafkaError, LeaderNotAvailableError, kafka_errors

from lastlogin_producer.lane import Lane
from lastlogin_producer.publish_stats import PublishStats
from lastlogin_producer.records import RecordForm
from lastlogin_producer.spool import AsideReason, Kind, Row, Spool
from lastlogin_schemas.codec import readable_event_id
from lastlogin_schemas.schema import LOGIN_EVENT
from lastlogin_service.logs import Occasionally


# So many are looked at one by one before all of a batch counts as refused; else a topic that takes nothing would be
# sent two requests for each message.
_MAX_REFUSED = 16

_log = structlog.get_logger(__name__)


class InvalidRecordError(BrokerResponseError):  # type: ignore[misc] # aiokafka has no types
    """Kafka's error 87, which aiokafka 0.14 does not know and would take for an unknown one."""

    errno = 87
    message = "INVALID_RECORD"
    description = "The broker does not accept this record"


kafka_errors.setdefault(InvalidRecordError.errno, InvalidRecordError)

# Kafka's protocol guide, "Error codes": those that the content of a message causes, and nothing else does. Not 32,
# invalid timestamp: the record's time is the moment of sending, so that a clock or a setting is wrong, never a message.
_REASONS: dict[int, AsideReason] = {
    2: "corrupt",
    10: "too_large",
    18: "too_large",
    44: "policy_violation",
    87: "invalid_record",
}


class Undelivered(Exception):
    """Kafka did not take all; `first` is the first sequence that is left.

    `refused`: it took none, for what is in them.
    """

    def __init__(self, first: int, error: KafkaError, *, refused: bool) -> None:
        super().__init__(str(error))
        self.first = first
        self.error = error
        self.refused = refused


class Delivery:
    """Sends rows through `producer`; `acknowledged` is called after each batch that Kafka took."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        *,
        spool: Spool,
        form: RecordForm,
        stats: PublishStats,
        occasionally: Occasionally,
        acknowledged: Callable[[], None],
    ) -> None:
        self._producer = producer
        self._spool = spool
        self._form = form
        self._stats = stats
        self._occasionally = occasionally
        self._tell_acknowledged = acknowledged

    def leader(self, lane: Lane) -> int | None:
        """Node that leads the lane's partition, None when there is none."""
        node: int | None = self._producer.client.cluster.leader_for_partition(
            TopicPartition(lane.topic, lane.partition)
        )
        return None if node == -1 else node

    async def deliver(self, lane: Lane, waiting: deque[Row]) -> None:
        """Send a batch from the head of `waiting`, and take it out; each row is acknowledged or set aside afterwards.

        A batch that the broker refuses for its content is halved until the refused message stands alone. It is set
        aside only when Kafka has taken another one of the batch and still refuses this one: a topic that takes none
        has wrong settings, and the messages are good. Raises `Undelivered`.
        """
        rows, batch = self._next_batch(waiting)
        parts: list[list[Row]] = []
        refused: list[Row] = []
        accepted = False
        try:
            while True:
                refusal = await self._offer(lane, rows, batch)
                if refusal is None:
                    accepted = True
                elif len(rows) > 1:
                    half = len(rows) // 2
                    parts += rows[half:], rows[:half]
                elif accepted or (parts and len(refused) < _MAX_REFUSED):
                    refused += rows
                else:
                    raise refusal
                if not parts:
                    break
                rows, batch = self._next_batch(deque(parts.pop()))
            while refused:
                rows, batch = self._next_batch(deque([refused.pop()]))
                if refusal := await self._offer(lane, rows, batch):
                    self._set_aside(lane, rows[0], _REASONS[refusal.errno])
        except KafkaError as error:
            first = min(row.sequence for row in chain(rows, refused, *parts))
            raise Undelivered(first, error, refused=getattr(error, "errno", None) in _REASONS) from error
        lane.backoff.reset()

    async def _offer(self, lane: Lane, rows: list[Row], batch: Any) -> BrokerResponseError | None:
        """Return None when Kafka has acknowledged the rows, or why it refuses them for good. Raises KafkaError."""
        try:
            await self._send(lane, batch)
        except BrokerResponseError as error:
            if error.errno in _REASONS:
                return error
            raise
        self._acknowledge(lane, rows)
        return None

    def _next_batch(self, waiting: deque[Row]) -> tuple[list[Row], Any]:
        batch = self._producer.create_batch()
        return self._form.fill(batch, waiting, time.time_ns() // 1_000_000), batch

    async def _send(self, lane: Lane, batch: Any) -> None:
        """Send and wait for the acknowledgement. Raises KafkaError."""
        if self.leader(lane) is None:
            # Not left to aiokafka: without a leader it asks for metadata as fast as the network answers.
            self._producer.client.force_metadata_update()
            raise LeaderNotAvailableError
        lane.handed_over_at = begun = time.monotonic()
        outcome: Any = "failed"
        try:
            await (await self._producer.send_batch(batch, lane.topic, partition=lane.partition))
            outcome = "acknowledged"
        except KafkaError as error:
            if getattr(error, "invalid_metadata", False):
                self._producer.client.force_metadata_update()
            raise
        finally:
            lane.handed_over_at = None
            self._stats.seconds[outcome].observe(time.monotonic() - begun)

    def _acknowledge(self, lane: Lane, rows: list[Row]) -> None:
        self._spool.delivered([row.sequence for row in rows])
        self._stats.published[lane.topic] += len(rows)
        lane.release(rows)
        self._tell_acknowledged()

    def _set_aside(self, lane: Lane, row: Row, reason: AsideReason) -> None:
        self._spool.set_aside([row.sequence], reason)
        lane.release([row])
        suppressed = self._occasionally.suppressed(("set_aside", lane.topic, reason))
        if suppressed is not None:
            _log.error(
                f"Kafka refuses one message for {lane.topic}, partition {lane.partition}, for good: "
                f"{reason.replace('_', ' ')}; it is set aside in the spool, the others go on",
                action="message_set_aside",
                topic=lane.topic,
                partition=lane.partition,
                reason=reason,
                sequence=row.sequence,
                event_id=readable_event_id(row.body, LOGIN_EVENT) if row.kind == Kind.LOGIN_EVENT else None,
                suppressed=suppressed,
            )
