"""The events topic read live, without a group: nothing is joined or committed, so nobody else notices."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from lastlogin_schemas.partitioner import partition_of
from lastlogin_service.kafka import KafkaSettings, client_options
from lastlogin_service.kafka_admin import UNREADABLE, in_words
from lastlogin_service.topics import partitions_of


# One request is in flight per broker: an idle partition's long poll delays a busy one by as much.
_FETCH_MAX_WAIT_MS = 50
# The most in one response, and what each partition may contribute to it and keep until it is shown.
_FETCHED_BYTES = 8 * 1024 * 1024
_MIN_PARTITION_BYTES = 64 * 1024
_MAX_PARTITION_BYTES = 1024 * 1024
_PIECE_RECORDS = 500
_WAIT_MS = 1_000
# aiokafka says nothing when Kafka goes away while it fetches, hence a question now and then.
_PROBE_S = 2.0
_PROBE_TIMEOUT_S = 4.0
_RETRY_S = 1.0


async def follow(
    settings: KafkaSettings,
    topic: str,
    *,
    user: str | None,
    since_ms: int | None,
    show: Callable[[Any], object],
    complain: Callable[[str], object],
) -> None:
    """Give every record to `show`, from now or from append time `since_ms` on, until cancelled.

    With `user`, only of that user's partition. `complain` is told when it waits, when Kafka goes away and is back.
    Raises `Exit` when Kafka is away at the start (69), or the topic is missing or may not be read (78).
    """
    partitions = await partitions_of(settings, topic, "topics.events")
    if user is not None:
        partitions = [TopicPartition(topic, partition_of(user.encode(), len(partitions)))]
    share = _FETCHED_BYTES // len(partitions)
    consumer = AIOKafkaConsumer(
        **client_options(settings, "lastlogin-tail"),
        enable_auto_commit=False,
        # Only when the position is deleted by age before it is read.
        auto_offset_reset="earliest",
        fetch_max_wait_ms=_FETCH_MAX_WAIT_MS,
        fetch_max_bytes=_FETCHED_BYTES,
        max_partition_fetch_bytes=max(_MIN_PARTITION_BYTES, min(share, _MAX_PARTITION_BYTES)),
    )
    try:
        await consumer.start()
        consumer.assign(partitions)
        for partition, offset in (await _start(consumer, partitions, since_ms)).items():
            consumer.seek(partition, offset)
        complain("waiting for logins; Ctrl-C ends it")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_watch(consumer, partitions, complain))
            for partition in partitions:
                tasks.create_task(_read(consumer, partition, show, complain))
    except KafkaError as error:
        raise in_words(error, "", settings) from None
    except BaseExceptionGroup as group:  # a task group's; what one of its tasks raised is what people need
        first = group.exceptions[0]
        raise (in_words(first, "", settings) if isinstance(first, KafkaError) else first) from None
    finally:
        await consumer.stop()


async def _start(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], since_ms: int | None
) -> Mapping[TopicPartition, int]:
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    if since_ms is None:
        return ends
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    # None: nothing was appended since.
    return {each: at.offset if (at := found.get(each)) is not None else end for each, end in ends.items()}


class _Damage:
    """Records of a partition that cannot be read are passed, one after the other, and told as a stretch."""

    def __init__(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, complain: Callable[[str], object]
    ) -> None:
        self.limit = _PIECE_RECORDS
        self._consumer = consumer
        self._partition = partition
        self._complain = complain
        self._within = False

    async def met(self, error: KafkaError) -> None:
        """Go one offset further; before that with fewer at a time, for good records were dropped with the bad one."""
        position = await self._consumer.position(self._partition)
        if self.limit == 1:
            if not self._within:
                where = f"partition {self._partition.partition} cannot be read at offset {position}"
                self._complain(f"{where}, going on behind it: {type(error).__name__}: {error}")
            self._within = True
            position += 1
        self.limit = max(1, self.limit // 2)
        self._consumer.seek(self._partition, position)

    def passed(self, records: Sequence[Any]) -> None:
        """Take note of records that were read."""
        if not records:
            return
        if self._within:
            self._complain(f"partition {self._partition.partition} is read again from offset {records[0].offset} on")
        self._within, self.limit = False, min(2 * self.limit, _PIECE_RECORDS)


async def _read(
    consumer: AIOKafkaConsumer,
    partition: TopicPartition,
    show: Callable[[Any], object],
    complain: Callable[[str], object],
) -> None:
    """Read one partition. One per call: aiokafka drops the records of the others when one of them fails."""
    failing, damage = False, _Damage(consumer, partition, complain)
    while True:
        try:
            fetched = await consumer.getmany(partition, timeout_ms=_WAIT_MS, max_records=damage.limit)
        except TopicAuthorizationFailedError:
            raise
        except UNREADABLE as error:
            await damage.met(error)
            continue
        except KafkaError as error:
            if not failing:
                complain(f"partition {partition.partition} cannot be read, trying on: {type(error).__name__}: {error}")
            failing = True
            await asyncio.sleep(_RETRY_S)
            continue
        failing = False
        records = fetched.get(partition, ())
        damage.passed(records)
        for record in records:
            show(record)
        # A long backlog does not keep the other partitions, and Ctrl-C, waiting.
        await asyncio.sleep(0)


async def _watch(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], complain: Callable[[str], object]
) -> None:
    """Say once when Kafka stops answering, and once when it answers again."""
    away = False
    while True:
        await asyncio.sleep(_PROBE_S)
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                await consumer.end_offsets(partitions)
        except (KafkaError, TimeoutError):
            if not away:
                complain("Kafka does not answer; going on when it does")
            away = True
        else:
            if away:
                complain("Kafka answers again")
            away = False
