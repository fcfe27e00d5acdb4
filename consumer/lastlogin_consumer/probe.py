"""Whether Kafka is there, asked over a connection of its own: then it is our client that is stuck."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from lastlogin_service.kafka_admin import start
from lastlogin_service.tasks import cancel, end_within


_CONNECT_S = 5.0
_ANSWER_S = 5.0
_DISCONNECT_S = 3.0


async def a_leader_answers(options: Mapping[str, Any], topic: str, numbers: Collection[int]) -> bool:
    """Whether the leader of one of these partitions answers, when there are none of any partition.

    One is enough: another one may have no leader for hours, and nobody can fetch from it.
    """
    client = AIOKafkaConsumer(**options)
    asking: list[asyncio.Task[Any]] = []
    try:
        async with asyncio.timeout(_CONNECT_S):
            await start(client)
            client.subscribe([topic])
            await client._client.force_metadata_update()  # noqa: SLF001 - else it knows no partitions
        partitions = [TopicPartition(topic, number) for number in numbers or client.partitions_for_topic(topic) or ()]
        asking += [asyncio.ensure_future(client.end_offsets([partition])) for partition in partitions]
        if not asking:
            return False
        answered, _ = await asyncio.wait(asking, timeout=_ANSWER_S)
        return any(each.exception() is None for each in answered)
    except (KafkaError, TimeoutError, OSError):
        return False
    finally:
        await cancel(asking)
        await end_within(_DISCONNECT_S, client.stop())
