"""A topic read from here to there, without a group: nothing is joined or committed, and it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from lastlogin_service.exits import UNAVAILABLE, Exit
from lastlogin_service.kafka import KafkaSettings, client_options
from lastlogin_service.kafka_admin import UNREADABLE, in_words
from lastlogin_service.places import Place
from lastlogin_service.tasks import end_within
from lastlogin_service.topics import partitions_of


# A record may have 2 MiB; Kafka gives a larger one all the same when it is the first.
_FETCHED_BYTES = 2 * 1024 * 1024
_PIECE_RECORDS = 500
_WAIT_MS = 1_000
# aiokafka says nothing when Kafka goes away while it fetches; this is longer than the election of a leader.
_SILENCE_S = 20.0
_STOP_S = 5.0

_NOT_FOUND = 1


class Range(NamedTuple):
    """Offsets of a partition from `start` to before `end`."""

    partition: TopicPartition
    start: int
    end: int


class Scan:
    """The records of some ranges of a topic, as they were when it began; `records` is at least how many.

    With `unreadable`, which is told where each of them is, records that cannot be read are passed; else they end it.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        ranges: Sequence[Range],
        settings: KafkaSettings,
        unreadable: Callable[[str, int, int], object] | None = None,
    ) -> None:
        self.records = sum(each.end - each.start for each in ranges)
        self._consumer = consumer
        self._ranges = ranges
        self._settings = settings
        self._unreadable = unreadable

    async def pieces(self) -> AsyncIterator[list[Any]]:
        """Yield the records in pieces of at most 500, partition by partition.

        Raises `Exit` when Kafka goes away (69) or may not be asked (78).
        """
        for each in self._ranges:
            # One at a time: aiokafka would keep a response of each of the others.
            self._consumer.assign([each.partition])
            self._consumer.seek(each.partition, each.start)
            async for piece in self._pieces_of(each):
                yield piece

    async def _pieces_of(self, wanted: Range) -> AsyncIterator[list[Any]]:
        loop = asyncio.get_running_loop()
        position, heard, limit = wanted.start, loop.time(), _PIECE_RECORDS
        while position < wanted.end:
            try:
                fetched = await self._consumer.getmany(
                    wanted.partition, timeout_ms=_WAIT_MS, max_records=min(limit, wanted.end - position)
                )
                # Ahead of the last record where others were deleted, by age or for the sake of a transaction.
                reached = await self._consumer.position(wanted.partition)
            except TopicAuthorizationFailedError as error:
                raise in_words(error, "", self._settings) from None
            except KafkaError as error:
                if self._unreadable is not None and isinstance(error, UNREADABLE):
                    # Good records before the bad one were dropped with it: get at them with fewer at a time.
                    if limit == 1:
                        self._unreadable(wanted.partition.topic, wanted.partition.partition, position)
                        position += 1
                    limit, heard = max(1, limit // 2), loop.time()
                    self._consumer.seek(wanted.partition, position)
                    continue
                raise Exit(
                    UNAVAILABLE,
                    f"partition {wanted.partition.partition} cannot be read at offset {position}: "
                    f"{type(error).__name__}: {error}",
                ) from None
            if reached > position:
                position, heard, limit = reached, loop.time(), min(2 * limit, _PIECE_RECORDS)
            elif loop.time() - heard > _SILENCE_S:
                raise Exit(UNAVAILABLE, f"Kafka stopped answering at offset {position}; try again")
            if piece := [record for record in fetched.get(wanted.partition, ()) if record.offset < wanted.end]:
                yield piece


@asynccontextmanager
async def scanning(
    settings: KafkaSettings,
    topic: str,
    key: str,
    client_id: str,
    *,
    since_ms: int | None = None,
    places: Sequence[Place] = (),
) -> AsyncIterator[Scan]:
    """Give what a topic, named by the setting `key`, holds now: all, from append time `since_ms` on, or just `places`.

    Raises `Exit`: Kafka is away (69), the topic is missing or may not be read (78), no record is at a place (1).
    """
    partitions = await partitions_of(settings, topic, key)
    async with reading(settings, client_id) as consumer:
        consumer.assign(partitions)
        yield Scan(consumer, await _ranges(consumer, partitions, since_ms, places), settings)


@asynccontextmanager
async def reading(settings: KafkaSettings, client_id: str, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """Give a client without a group, for a `Scan`; `options` are aiokafka's, instead of ours.

    What Kafka raises inside becomes `Exit`.
    """
    # Only when records are deleted by age before they are read.
    for_scan = {
        "auto_offset_reset": "earliest",
        "fetch_max_bytes": _FETCHED_BYTES,
        "max_partition_fetch_bytes": _FETCHED_BYTES,
    }
    consumer = AIOKafkaConsumer(**client_options(settings, client_id), enable_auto_commit=False, **(for_scan | options))
    try:
        await consumer.start()
        yield consumer
    except KafkaError as error:
        raise in_words(error, "", settings) from None
    finally:
        await end_within(_STOP_S, consumer.stop())


async def _ranges(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], since_ms: int | None, places: Sequence[Place]
) -> list[Range]:
    first = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    if places:
        by_number = {partition.partition: partition for partition in partitions}
        for place in places:
            partition = by_number.get(place.partition)
            if partition is None or not first[partition] <= place.offset < ends[partition]:
                if partition is None:
                    has = "there is no such partition"
                elif first[partition] == ends[partition]:
                    has = "the partition is empty"
                else:
                    has = f"it has {first[partition]} to {ends[partition] - 1}"
                raise Exit(_NOT_FOUND, f"there is no record {place} any more, or yet: {has}")
        return [Range(by_number[each.partition], each.offset, each.offset + 1) for each in sorted(set(places))]
    if since_ms is not None:
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
        # None: nothing was appended since.
        first = {each: at.offset if (at := found.get(each)) is not None else ends[each] for each in partitions}
    return [Range(each, first[each], ends[each]) for each in partitions if first[each] < ends[each]]
