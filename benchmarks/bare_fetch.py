"""The limit of the machine for events that repeat: fetch, decode with fastavro, forget.

usage: bare_fetch.py BOOTSTRAP TOPIC EVENTS; prints the seconds from the first to the last event, and those of CPU
"""

import asyncio
import sys
import time
from io import BytesIO

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from fastavro import schemaless_reader

from lastlogin_consumer.source import FETCH_OPTIONS
from lastlogin_schemas.schema import LOGIN_EVENT


_FRAMING_BYTES = 10
_LIMIT = 500


async def _read(bootstrap: str, topic: str, events: int) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", **FETCH_OPTIONS)
    await consumer.start()
    try:
        partitions = consumer.partitions_for_topic(topic) or await _partitions(consumer, topic)
        consumer.assign([TopicPartition(topic, number) for number in partitions])
        begun = cpu = 0.0
        left = events
        while left:
            fetched = await consumer.getmany(timeout_ms=1_000, max_records=_LIMIT)
            if fetched and not begun:
                begun, cpu = time.monotonic(), time.process_time()
            for records in fetched.values():
                left -= len(records)
                for record in records:
                    schemaless_reader(BytesIO(record.value[_FRAMING_BYTES:]), LOGIN_EVENT.runtime, None)
        print(time.monotonic() - begun, time.process_time() - cpu)
    finally:
        await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.force_metadata_update()  # noqa: SLF001 - the first answer may lack a new topic
    await consumer.topics()
    found: set[int] = consumer.partitions_for_topic(topic)
    return found


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_read(sys.argv[1], sys.argv[2], int(sys.argv[3])))
