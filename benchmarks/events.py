"""Topics full of events, as producers leave them."""

import asyncio
import time
from collections import deque

from aiokafka import AIOKafkaProducer

from benchmarks.backlog import login
from lastlogin_producer.records import RecordForm
from lastlogin_producer.spool.row import Row, unnumbered_body
from lastlogin_schemas.avro import long
from lastlogin_schemas.codec import message_key
from lastlogin_schemas.partitioner import partition_of


_GROUP = 10_000
_BATCH_BYTES = 256 * 1024


async def _publish(bootstrap: str, topic: str, partitions: int, events: int, users: int) -> None:
    form = RecordForm("bench", 1, {})
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", compression_type="zstd", max_batch_size=_BATCH_BYTES
    )
    await producer.start()
    try:
        sequence = 0
        while sequence < events:
            waiting: list[deque[Row]] = [deque() for _ in range(partitions)]
            now_us = time.time_ns() // 1_000
            for _ in range(min(_GROUP, events - sequence)):
                kind, body = unnumbered_body(login(sequence % users, now_us + sequence % _GROUP))
                sequence += 1
                row = Row(sequence, kind, body + long(1) + long(sequence))
                waiting[partition_of(message_key(body), partitions)].append(row)
            sent = []
            for number, rows in enumerate(waiting):
                while rows:
                    batch = producer.create_batch()
                    form.fill(batch, rows, now_us // 1_000)
                    batch.close()
                    sent.append(await producer.send_batch(batch, topic, partition=number))
            await asyncio.gather(*sent)
    finally:
        await producer.stop()


def publish(bootstrap: str, topic: str, partitions: int, events: int, users: int) -> None:
    """Publish so many events of so many users, in turn; each login is newer than the last one of its user."""
    asyncio.run(_publish(bootstrap, topic, partitions, events, users))
