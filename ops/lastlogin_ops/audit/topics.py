"""The topics and the group, as they are when somebody looks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from lastlogin_ops.audit.retention import Kept
from lastlogin_ops.backlog import committed_offsets
from lastlogin_service.kafka import KafkaSettings
from lastlogin_service.kafka_admin import admin_client
from lastlogin_service.scan import Range, Scan


@dataclass(frozen=True, slots=True)
class Extent:
    """Where the partitions of a topic begin and end."""

    kept: Mapping[TopicPartition, Kept]
    ends: Mapping[TopicPartition, int]

    @property
    def records(self) -> int:
        """At least how many records there are."""
        return sum(end - self.kept[each].first_offset for each, end in self.ends.items())


async def extent(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> Extent:
    """Look. Raises KafkaError."""
    ends = await consumer.end_offsets(partitions)
    first = await consumer.beginning_offsets(partitions)
    # Of the first record that has any time at all.
    times = await consumer.offsets_for_times(dict.fromkeys(partitions, 0))
    kept = {
        each: Kept(first[each], at.timestamp if (at := times.get(each)) is not None else None) for each in partitions
    }
    return Extent(kept, ends)


# Is told topic, partition and offset of each record that cannot be read.
Unreadable = Callable[[str, int, int], object]


def whole(consumer: AIOKafkaConsumer, settings: KafkaSettings, found: Extent, unreadable: Unreadable) -> Scan:
    """Everything that was there then."""
    ranges = [Range(each, found.kept[each].first_offset, end) for each, end in sorted(found.ends.items())]
    return Scan(consumer, [each for each in ranges if each.start < each.end], settings, unreadable)


async def since(consumer: AIOKafkaConsumer, settings: KafkaSettings, found: Extent, unreadable: Unreadable) -> Scan:
    """What came after it, until now. Raises KafkaError."""
    ends = await consumer.end_offsets(list(found.ends))
    ranges = [Range(each, start, ends[each]) for each, start in sorted(found.ends.items())]
    return Scan(consumer, [each for each in ranges if each.start < each.end], settings, unreadable)


async def committed(settings: KafkaSettings, group: str, topic: str) -> dict[int, int]:
    """Offset that the group has committed, by partition. Raises `Exit`."""
    async with admin_client(settings) as admin:
        offsets = await committed_offsets(admin, group)
    return {each.partition: offset for each, offset in offsets.items() if each.topic == topic and offset >= 0}
