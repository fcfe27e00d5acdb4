"""A few records of a topic, from given offsets on, without a group."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from lastlogin_service.kafka_admin import UNREADABLE


_WAIT_MS = 200


@dataclass(frozen=True, slots=True)
class Few:
    """What was read of each partition, and the offset at which it cannot be read, of those with such a record."""

    records: dict[TopicPartition, list[Any]] = field(default_factory=dict)
    unreadable: dict[TopicPartition, int] = field(default_factory=dict)


async def read(consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int], count: int, deadline_s: float) -> Few:
    """Read up to `count` records of each partition from there; what has not come by the deadline is left out.

    Raises KafkaError.
    """
    few = Few()
    if not starts:
        return few
    consumer.assign(list(starts))
    for partition, offset in starts.items():
        consumer.seek(partition, offset)
    with suppress(TimeoutError):
        async with asyncio.timeout(deadline_s):
            await asyncio.gather(*(_read(consumer, each, offset, count, few) for each, offset in starts.items()))
    return few


async def _read(consumer: AIOKafkaConsumer, partition: TopicPartition, position: int, count: int, few: Few) -> None:
    """Read one partition. One per call: aiokafka drops the records of the others when one of them fails."""
    limit = count
    while True:
        try:
            fetched = await consumer.getmany(partition, timeout_ms=_WAIT_MS, max_records=limit)
        except UNREADABLE:
            # Good records before the bad one were dropped with it: get at them with fewer at a time.
            if limit == 1:
                few.unreadable[partition] = position
                return
            limit //= 2
            consumer.seek(partition, position)
            continue
        if piece := fetched.get(partition):
            few.records.setdefault(partition, []).extend(piece)
            position = piece[-1].offset + 1
            # The newest few come in one response; else on to the bad one among them.
            if limit == count:
                return
