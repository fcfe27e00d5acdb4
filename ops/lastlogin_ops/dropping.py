"""Records deleted from Kafka, which only deletes all of a partition before an offset."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import TopicAuthorizationFailedError

from lastlogin_ops.aside_topic import AsideTopic
from lastlogin_ops.set_aside import Tally
from lastlogin_service.counting import counted
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.kafka_admin import admin_client
from lastlogin_service.moments import iso_ms
from lastlogin_service.places import Place
from lastlogin_service.scan import Range, Scan, reading
from lastlogin_service.topics import partitions_of


_NOT_FOUND = 1


@dataclass(frozen=True, slots=True)
class Bound:
    """What is to go: the records before places, or those that are older than a time; neither: all."""

    before: Sequence[Place] = ()
    older_than_ms: int | None = None


@dataclass(slots=True)
class Drop:
    """What goes, partition by partition: all before each place of `before`.

    Before those of `done` it is deleted, before those `in_doubt` Kafka was asked to and has not said that it did.
    """

    before: list[Place] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    done: list[Place] = field(default_factory=list)
    in_doubt: list[Place] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return what goes, for programs."""
        tally = self.tally
        return {
            "before": [str(place) for place in self.before],
            "records": tally.records,
            "reasons": tally.reasons,
            "first_at": None if tally.first_ms is None else iso_ms(tally.first_ms),
            "last_at": None if tally.last_ms is None else iso_ms(tally.last_ms),
        }

    def lines(self, *, dropped: bool) -> list[str]:
        """The same for people."""
        done = "dropped" if dropped else "would be dropped"
        return [f"{counted(self.tally.records, 'record')} {done}, {self.tally.between()}:", *self.tally.lines()]


async def look(topic: AsideTopic[Any], bound: Bound, phase: Callable[[int], Callable[[int], object]]) -> Drop:
    """Read what would go; `phase` is told of how many records, and then, piece by piece, how many are read.

    Raises `Exit`: Kafka is away (69), missing topic or right (78), no such place (1).
    """
    partitions = await partitions_of(topic.kafka, topic.name, topic.key)
    drop = Drop()
    async with reading(topic.kafka, "lastlogin-drop") as consumer:
        ranges = await _ranges(consumer, partitions, bound)
        drop.before = [Place(each.partition.partition, each.end) for each in ranges]
        scan = Scan(consumer, ranges, topic.kafka)
        advance = phase(scan.records)
        async for piece in scan.pieces():
            for record in piece:
                drop.tally.add(topic.read(record))
            advance(len(piece))
    return drop


async def delete(topic: AsideTopic[Any], drop: Drop) -> None:
    """Delete it, and nothing that came since. Safe to repeat, and beside others. Raises `Exit` (69, 78)."""
    async with admin_client(topic.kafka) as admin:
        for place in drop.before:
            drop.in_doubt.append(place)
            partition = TopicPartition(topic.name, place.partition)
            try:
                await admin.delete_records({partition: RecordsToDelete(place.offset)})
            except TopicAuthorizationFailedError:
                drop.in_doubt.clear()
                raise Exit(
                    CONFIG,
                    f"the user in [kafka] has no right to delete records of {topic.name}: grant it with "
                    f"kafka-acls.sh --add --allow-principal User:... --operation Delete --topic {topic.name}",
                ) from None
            drop.done.append(drop.in_doubt.pop())


async def _ranges(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], bound: Bound) -> list[Range]:
    first = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    if bound.before:
        by_number = {each.partition: each for each in partitions}
        wanted = {}
        for place in sorted(bound.before):
            partition = by_number.get(place.partition)
            if partition is None or place.offset > ends[partition]:
                has = f"the partition ends before {ends[partition]}" if partition else "there is no such partition"
                raise Exit(_NOT_FOUND, f"nothing can be dropped before {place}: {has}")
            wanted[partition] = place.offset
    elif bound.older_than_ms is not None:
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, bound.older_than_ms))
        # None: there is nothing as young.
        wanted = {each: at.offset if (at := found.get(each)) is not None else ends[each] for each in partitions}
    else:
        wanted = ends
    return [Range(each, first[each], end) for each, end in sorted(wanted.items()) if first[each] < end]
