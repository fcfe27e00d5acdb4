"""A few records of a topic, from given offsets on, without a group."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition


_WAIT_MS = 200


async def records(
    consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int], count: int, deadline_s: float
) -> dict[TopicPartition, list[Any]]:
    """Read up to `count` records of each partition from there; what has not come by the deadline is left out.

    Raises KafkaError.
    """
    found: dict[TopicPartition, list[Any]] = {}
    if not starts:
        return found
    consumer.assign(list(starts))
    for partition, offset in starts.items():
        consumer.seek(partition, offset)
    loop = asyncio.get_running_loop()
    give_up = loop.time() + deadline_s
    left = set(starts)
    while left and loop.time() < give_up:
        # Partitions that have given something are not asked again: their newest few came in one response.
        for partition, piece in (await consumer.getmany(*left, timeout_ms=_WAIT_MS)).items():
            found[partition] = piece[:count]
            left.discard(partition)
    return found
