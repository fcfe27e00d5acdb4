"""How far the consumer is behind: what the table does not show yet."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)

from lastlogin_ops import few
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.kafka import KafkaSettings, client_options
from lastlogin_service.kafka_admin import admin_client


# It goes with an answer that somebody waits for. Within it, so long for the age of what waits.
_DEADLINE_S = 2.0
_OLDEST_DEADLINE_S = 1.0
_RETRY_S = 0.1


@dataclass(frozen=True, slots=True)
class Backlog:
    """Records of the topic that the consumer has not written, and when the oldest of them reached Kafka.

    `oldest_ms` is None when nothing waits, and when a record was not read in time or cannot be read.
    """

    records: int
    oldest_ms: int | None


async def backlog(settings: KafkaSettings, topic: str, group: str) -> Backlog:
    """Compare the group's offsets with the topic's ends. Raises `Exit` when Kafka cannot tell within two seconds."""
    async with admin_client(settings, _DEADLINE_S) as admin:
        # All topics: asking for one by name may create it, where the brokers are set so.
        topics = {found["topic"]: found["partitions"] for found in await admin.describe_topics()}
        partitions = [TopicPartition(topic, found["partition"]) for found in topics.get(topic, ())]
        if not partitions:
            raise Exit(CONFIG, f"Kafka has no topic {topic}, or the user in [kafka] may not see it")
        written = await committed_offsets(admin, group)
        return await _behind(settings, partitions, written)


async def committed_offsets(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    """What the group has committed, of every topic; nothing of a group that nobody knows. Raises KafkaError."""
    while True:
        try:
            offsets = await admin.list_consumer_group_offsets(group)
        except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError):
            # Also what a Kafka says that has never had a group, while it makes the place for their offsets.
            await asyncio.sleep(_RETRY_S)
        else:
            return {partition: offset.offset for partition, offset in offsets.items()}


async def _behind(
    settings: KafkaSettings, partitions: Sequence[TopicPartition], written: Mapping[TopicPartition, int]
) -> Backlog:
    consumer = AIOKafkaConsumer(
        **client_options(settings, "lastlogin"),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        # One record of each partition is enough.
        max_partition_fetch_bytes=1,
    )
    try:
        await consumer.start()
        consumer.assign(partitions)
        first, end = await asyncio.gather(consumer.beginning_offsets(partitions), consumer.end_offsets(partitions))
        start = {partition: max(written.get(partition, 0), first[partition]) for partition in partitions}
        waiting = {partition: offset for partition, offset in start.items() if offset < end[partition]}
        records = sum(end[partition] - offset for partition, offset in waiting.items())
        return Backlog(records, await _oldest_ms(consumer, waiting))
    finally:
        await consumer.stop()


async def _oldest_ms(consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int]) -> int | None:
    found = (await few.read(consumer, starts, 1, _OLDEST_DEADLINE_S)).records
    if len(found) < len(starts):
        return None
    return min((piece[0].timestamp for piece in found.values()), default=None)
