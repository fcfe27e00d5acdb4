"""The events topic: partitions as they are assigned to us, and the commits of what is done in them.

aiokafka 0.14 prefetches at most one piece per partition and asks for no more until that is taken, so a pipeline
that waits for Cassandra pauses its own partition by not fetching. Concurrent `getmany` calls for different
partitions neither starve nor spin: each takes its own partition's piece only, and waits on a future of its own
(`Fetcher.fetched_records`). Several partitions in one call would lose records (see `PartitionLog.fetch`).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, NoReturn, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    CommitFailedError,
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
)

from lastlogin_consumer.decode import Record
from lastlogin_consumer.errors import FetchFailed, OffsetLost, Unreadable
from lastlogin_consumer.offsets import Watermarks, missing, next_offset
from lastlogin_service.histogram import Histogram
from lastlogin_service.kafka_admin import start
from lastlogin_service.logs import Occasionally


SESSION_TIMEOUT_MS = 30_000
# How long the others in the group wait for us to finish what is in flight.
REBALANCE_TIMEOUT_MS = 60_000
# aiokafka leaves the group when nobody has polled for so long, and never comes back (its issue 1187). A day: we
# poll every few seconds whatever happens, and a loop that hangs misses its heartbeats.
_MAX_POLL_INTERVAL_MS = 86_400_000
# One fetch is in flight per broker: an idle partition's long poll delays a busy one by as much.
_FETCH_MAX_WAIT_MS = 50
# What may be fetched and not yet taken, over all partitions; also the most in one response.
_FETCHED_BYTES = 8 * 1024 * 1024
_MAX_PARTITION_FETCH_BYTES = 1024 * 1024
FETCH_OPTIONS: Mapping[str, int | bool] = {
    "fetch_max_wait_ms": _FETCH_MAX_WAIT_MS,
    "fetch_max_bytes": _FETCHED_BYTES,
    "check_crcs": True,
}
# Smaller pieces cost more requests than they save memory. A batch that is larger comes whole all the same.
_MIN_PARTITION_FETCH_BYTES = 64 * 1024

# One request for all partitions. What is repeated after a crash is what was written since.
_COMMIT_INTERVAL_S = 1.0
# aiokafka repeats a commit for ever while the coordinator is away.
_COMMIT_TIMEOUT_S = 10.0
# How often a member without partitions asks whether Kafka is there, and how long it waits.
_ASK_EVERY_S = 5.0
_LOG_INTERVAL_S = 30.0
_JOINING = "joining it, or a rebalance is going on"

_log = structlog.get_logger(__name__)


def fetch_options(partitions: int) -> dict[str, int | bool]:
    """What a client that fetches from so many partitions is made with; together they keep within our bounds."""
    share = _FETCHED_BYTES // max(1, partitions)
    share = max(_MIN_PARTITION_FETCH_BYTES, min(share, _MAX_PARTITION_FETCH_BYTES))
    return {**FETCH_OPTIONS, "max_partition_fetch_bytes": share}


class Assignee(Protocol):
    """Who works on the partitions. Both calls must not raise: aiokafka would swallow it."""

    def assigned(self, partitions: Sequence["PartitionLog"]) -> None:
        """Start working on them; an earlier assignment has been revoked before."""

    async def revoked(self) -> None:
        """Stop fetching at once, finish what is in flight, and return when nothing works on any partition."""


class PartitionLog:
    """One partition, for as long as it is assigned."""

    def __init__(self, consumer: AIOKafkaConsumer, partition: TopicPartition, watermarks: Watermarks) -> None:
        self.number: int = partition.partition
        self._consumer = consumer
        self._partition = partition
        self._watermarks = watermarks
        # Where aiokafka's next record comes from; None when only a seek can tell.
        self._position: int | None = None
        self._looked_again_at = -1

    async def start(self) -> int:
        """Offset to begin at: the committed one, else the earliest. Raises `FetchFailed`."""
        try:
            committed: int | None = await self._consumer.committed(self._partition)
            return await self._earliest() if committed is None else committed
        except KafkaError as error:
            _fail(error)

    async def fetch(self, position: int, limit: int, wait_s: float) -> Sequence[Record]:
        """Records from `position` on, at most `limit`, none when there are none within `wait_s`.

        Raises `FetchFailed`, `Unreadable` or `OffsetLost`; may be cancelled. One partition per call, and a seek
        to the caller's own position after any error: aiokafka moves its position past records that it then
        drops when another partition of the same call fails, and past a record that is too large.
        """
        try:
            if self._position != position:
                self._consumer.seek(self._partition, position)
            self._position = None
            fetched = await self._consumer.getmany(self._partition, timeout_ms=round(wait_s * 1000), max_records=limit)
            records: Sequence[Record] = fetched.get(self._partition, ())
        except OffsetOutOfRangeError:
            await self._raise_lost(position)
        except (CorruptRecordException, RecordTooLargeError) as error:
            raise Unreadable(f"{type(error).__name__} at or after offset {position}") from None
        except KafkaError as error:
            _fail(error)
        except Exception as error:  # noqa: BLE001 - damaged headers and compressed data raise what they like
            raise Unreadable(f"{type(error).__name__} at or after offset {position}") from None
        if records and missing(position, records) and self._looked_again_at != position:
            self._looked_again_at = position
            # At once: whoever asks for the client's position is not to take these for read.
            self._consumer.seek(self._partition, position)
            self._position = position
            return ()
        self._position = next_offset(records) if records else position
        return records

    async def end(self) -> int:
        """Offset that the next record to be published will have. Raises `FetchFailed`."""
        try:
            offsets: dict[TopicPartition, int] = await self._consumer.end_offsets([self._partition])
        except Exception as error:  # noqa: BLE001 - a client that has died is the next fetch's to tell
            raise FetchFailed(type(error).__name__) from None
        return offsets[self._partition]

    def done(self, watermark: int) -> None:
        """Everything before `watermark` is done and may be committed."""
        self._watermarks.done(self.number, watermark)

    async def _raise_lost(self, position: int) -> NoReturn:
        """Raise `OffsetLost` if the position is outside the log, else `FetchFailed`: a leader that just took over."""
        try:
            earliest = await self._earliest()
            ends: dict[TopicPartition, int] = await self._consumer.end_offsets([self._partition])
        except KafkaError as error:
            _fail(error)
        if earliest <= position <= ends[self._partition]:
            raise FetchFailed(f"offset {position} was refused, though it exists")
        raise OffsetLost(position, earliest)

    async def _earliest(self) -> int:
        offsets: dict[TopicPartition, int] = await self._consumer.beginning_offsets([self._partition])
        return offsets[self._partition]


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc] # no type information upstream
    """Passes on what one client says, as long as it is the one in use: one that was stopped may still have tasks."""

    def __init__(self, source: "Source", consumer: AIOKafkaConsumer) -> None:
        self._source = source
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """aiokafka's: a rebalance begins; our partitions stay ours until this returns."""
        if self._source.uses(self._consumer):
            await self._source.revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """aiokafka's: a rebalance is over."""
        if self._source.uses(self._consumer):
            self._source.assigned(assigned)


class Source:
    """Our membership in the consumer group; tells `assignee` which partitions are its.

    `rebalances` counts the seconds from each revocation to the next assignment.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        topic: str,
        group: str,
        assignee: Assignee,
        rebalances: Histogram,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._clock = clock
        self._outside_since = clock()
        self._options = options
        self._topic = topic
        self._group = group
        self._assignee = assignee
        self._rebalances = rebalances
        # When the rebalance that goes on began; to join for the first time is none.
        self._revoked_at: float | None = None
        self._watermarks = Watermarks()
        self._occasionally = Occasionally(_LOG_INTERVAL_S)
        self._consumer: Any = None
        # From the end of a rebalance to the beginning of the next one.
        self._member = False
        self._why = _JOINING
        self._partitions = 0
        # Whether Kafka has not answered when it was last asked; a member with partitions has other ways to find out.
        self.unanswered = False
        self._asked_at = clock()

    @property
    def problem(self) -> str | None:
        """A sentence while we are not in the group, or stand by without partitions and Kafka does not answer."""
        if not self._member:
            return f"Not in the consumer group {self._group}: {self._why}"
        return "Kafka does not answer" if self.unanswered else None

    @property
    def outside_s(self) -> float:
        """Seconds for which we have not been in the group."""
        return 0.0 if self._member else self._clock() - self._outside_since

    async def start(self) -> None:
        """Connect and join the group. Raises KafkaError; may then be called again."""
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            max_poll_interval_ms=_MAX_POLL_INTERVAL_MS,
            **fetch_options(await _partitions(self._options, self._topic)),
        )
        try:
            await start(consumer)
        except BaseException:  # a cancelled start leaves connections too; passed on
            await consumer.stop()
            raise
        self._consumer = consumer
        self._outside_since = self._clock()
        consumer.subscribe([self._topic], listener=_Listener(self, consumer))

    async def run(self) -> NoReturn:
        """Commit and poll until cancelled. Raises KafkaError when aiokafka cannot recover."""
        while True:
            await asyncio.sleep(_COMMIT_INTERVAL_S)
            await self.commit()
            await self._poll()
            if self._partitions:
                self.unanswered = False
            elif self._clock() - self._asked_at >= _ASK_EVERY_S:
                self.unanswered = not await self._ask()
                self._asked_at = self._clock()

    async def commit(self, timeout_s: float = _COMMIT_TIMEOUT_S) -> None:
        """Tell Kafka what is done; what fails is committed with the next call. Never raises."""
        watermarks = self._watermarks.uncommitted()
        if self._consumer is None or not watermarks:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._consumer.commit({TopicPartition(self._topic, p): w for p, w in watermarks.items()})
        except (CommitFailedError, IllegalStateError):
            # Whoever has the partitions now repeats the rows, which changes nothing.
            self._say("commit_refused", "The group has given our partitions away; offsets were not committed")
        except (KafkaError, TimeoutError) as error:
            self._say("commit_failed", "Offsets could not be committed; trying again", error=type(error).__name__)
        else:
            self._watermarks.committed(watermarks)

    async def stop(self, deadline_s: float) -> None:
        """Leave the group and disconnect; it may be started again."""
        consumer, self._consumer = self._consumer, None
        self._member = False
        self._revoked_at = None
        self._watermarks.assign(())
        if consumer is None:
            return
        try:
            async with asyncio.timeout(deadline_s):
                await consumer.stop()
        except (KafkaError, TimeoutError) as error:
            # aiokafka's stop can hang (its issue 773); the group notices by the missing heartbeats.
            _log.warning("Could not leave the group in time", action="leave_failed", error=type(error).__name__)

    def uses(self, consumer: AIOKafkaConsumer) -> bool:
        """Whether `consumer` is the client in use."""
        return self._consumer is consumer

    async def revoked(self, revoked: set[TopicPartition]) -> None:
        """Have the partitions given up; they stay ours until this returns."""
        self._outside_since = self._clock()
        if self._member:
            self._revoked_at = self._outside_since
        self._member = False
        await self._assignee.revoked()
        await self.commit()
        self._watermarks.assign(())
        if revoked:
            _log.info("Partitions revoked", action="revoked", partitions=_numbers(revoked))

    def assigned(self, assigned: set[TopicPartition]) -> None:
        """Have these partitions worked on."""
        if self._revoked_at is not None:
            self._rebalances.observe(self._clock() - self._revoked_at)
            self._revoked_at = None
        self._member, self._why = True, _JOINING
        self._partitions = len(assigned)
        self._watermarks.assign(_numbers(assigned))
        _log.info("Partitions assigned", action="assigned", partitions=_numbers(assigned))
        self._assignee.assigned(
            [PartitionLog(self._consumer, partition, self._watermarks) for partition in sorted(assigned)]
        )

    async def _ask(self) -> bool:
        with suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_ASK_EVERY_S):
                return bool(await self._consumer._client.force_metadata_update())  # noqa: SLF001 - `topics` may not return
        return False

    async def _poll(self) -> None:
        """Poll a partition that nobody has: a member without partitions, or with stuck ones, stays a member."""
        try:
            await self._consumer.getmany(TopicPartition(self._topic, 2**31 - 1))
        except KafkaError as error:
            try:
                _fail(error)
            except FetchFailed as failure:
                self._why = str(failure)
                self._say("group_failed", "Cannot take part in the group; trying again", why=str(failure))

    def _say(self, action: str, sentence: str, **context: object) -> None:
        if (suppressed := self._occasionally.suppressed(action)) is not None:
            _log.warning(sentence, action=action, suppressed=suppressed, **context)


def _fail(error: KafkaError) -> NoReturn:
    """Raise what `error` means to a pipeline."""
    if type(error) is KafkaError:
        # aiokafka's word for "a background task of mine has died": this consumer will never fetch again.
        raise error
    name = type(error).__name__
    if "Authorization" in name:
        raise FetchFailed(f"{name}: the user needs Read on the topic and on the consumer group") from None
    raise FetchFailed(name) from None


def _numbers(partitions: set[TopicPartition]) -> list[int]:
    return sorted(partition.partition for partition in partitions)


async def _partitions(options: Mapping[str, Any], topic: str) -> int:
    admin = AIOKafkaAdminClient(**options)
    try:
        await start(admin)
        [description] = await admin.describe_topics([topic])
        return len(description["partitions"])
    finally:
        await admin.close()
