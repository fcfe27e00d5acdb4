"""The events topic as it is read without its group."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial

from aiokafka import AIOKafkaConsumer, TopicPartition

from lastlogin_consumer.errors import FetchFailed, OffsetLost
from lastlogin_consumer.offsets import Watermarks
from lastlogin_consumer.replay.stretch_log import StretchLog
from lastlogin_consumer.replay.stretches import Edges, Stretch
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_consumer.source import PartitionLog, fetch_options
from lastlogin_service.scan import reading
from lastlogin_service.topics import partitions_of


# For a record that is there.
_WAIT_S = 5.0
_DEADLINE_S = 20.0


class EventsTopic:
    """Its partitions, through one client that has joined no group."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = {each.partition: each for each in partitions}

    async def edges(self) -> dict[int, Edges]:
        """What each partition has now. Raises KafkaError."""
        first = await self._consumer.beginning_offsets(self._partitions.values())
        ends = await self._consumer.end_offsets(self._partitions.values())
        return {number: Edges(first[each], ends[each]) for number, each in self._partitions.items()}

    async def appended_since(self, moment_ms: int) -> dict[int, int]:
        """First offset of each partition that was appended then or later, where there is one. Raises KafkaError."""
        found = await self._consumer.offsets_for_times(dict.fromkeys(self._partitions.values(), moment_ms))
        return {each.partition: at.offset for each, at in found.items() if at is not None}

    async def appended_at(self, stretches: Iterable[Stretch]) -> dict[int, int]:
        """Append time (ms) of the first record of each stretch, by partition. Raises KafkaError."""
        found = {}
        for log in self.assign(stretches):
            # It is only told: what cannot be had is not waited for.
            with suppress(FetchFailed, OffsetLost, TimeoutError):
                async with asyncio.timeout(_DEADLINE_S):
                    while not log.is_done and log.number not in found:
                        if records := await log.fetch(log.stretch.first, 1, _WAIT_S):
                            found[log.number] = records[0].timestamp
        return found

    def assign(self, stretches: Iterable[Stretch]) -> list[StretchLog]:
        """Give these to be read, one for each partition, in place of those that were given before."""
        stretches = list(stretches)
        self._consumer.assign([self._partitions[each.partition] for each in stretches])
        logs = []
        for each in stretches:
            partition = self._partitions[each.partition]
            # At once: to a partition without a position belongs an error, when the client comes to look for one.
            self._consumer.seek(partition, each.first)
            log = PartitionLog(self._consumer, partition, Watermarks())
            logs.append(StretchLog(each, log, partial(self._consumer.position, partition)))
        return logs


@asynccontextmanager
async def events_topic(settings: ConsumerSettings, client_id: str) -> AsyncIterator[EventsTopic]:
    """Give the topic. Raises `Exit`: it is missing, or we have no right (78), or Kafka is away (69)."""
    partitions = await partitions_of(settings.kafka, settings.topics.events, "topics.events")
    options = fetch_options(len(partitions))
    async with reading(settings.kafka, client_id, auto_offset_reset="none", **options) as consumer:
        yield EventsTopic(consumer, partitions)
