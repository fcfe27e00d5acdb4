"""What a real Kafka gets out of the spool, and what the publisher does when it does not take it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Message, Producer
from structlog.testing import capture_logs

from lastlogin_producer import publisher as publisher_module
from lastlogin_producer.spool import Kind
from lastlogin_schemas.codec import decode_login_event, decode_raw_write
from lastlogin_schemas.event import RawWrite
from lastlogin_schemas.framing import split
from lastlogin_schemas.headers import verify_checksum
from lastlogin_schemas.schema import LOGIN_EVENT, RAW_WRITE
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import Layout
from tests.support.process import halted
from tests.support.publisher import OutTopics, eventually, out_topics, publishing, waiting
from tests.support.spool import BACKEND, append, open_spool, store, unnumbered


# A client that is given up while a broker hangs leaves a connection of aiokafka's, which was being made, to the garbage
# collector; that complains in whichever test is under way by then.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

WRITE = RawWrite(b"\xff\xfe", "bad_user", "no UTF-8", "statsdb", ((b"shared/x", b"1"),), BACKEND, 5)


@pytest.fixture
def unmade(stack: Layout) -> Iterator[OutTopics]:
    """Topics of one test that do not exist yet."""
    with out_topics(stack) as topics:
        yield topics


def said(logs: Any, action: str) -> list[dict[str, Any]]:
    """Lines with this action."""
    return [line for line in logs if line.get("action") == action]


async def test_a_login_in_kafka(topics: OutTopics, tmp_path: Path) -> None:
    """Key, framing, body, checksum and origin are those of the contract; the row has left the spool."""
    event = unnumbered("ä/b@x", attributes={"a": "b"})
    async with publishing(tmp_path, topics) as (spool, _):
        await append(spool, event)
        await waiting(spool, 0)
        epoch = spool.epoch
    [record] = await asyncio.to_thread(topics.records, topics.events)
    schema, body = split(record.value, {})
    published = decode_login_event(body, schema)

    assert "ä/b@x".encode() == record.key
    assert LOGIN_EVENT is schema
    assert (event.user, event.login_at_us, {"a": "b"}) == (published.user, published.login_at_us, published.attributes)
    assert (epoch, 1) == (published.epoch, published.sequence)
    assert verify_checksum(body, record.headers.items())
    assert f"{BACKEND}/{epoch}/1".encode() == record.headers["origin"]
    async with open_spool(tmp_path) as spool:
        assert 0 == spool.rows_waiting


async def test_a_quarantined_write_in_kafka(topics: OutTopics, tmp_path: Path) -> None:
    """It goes to its own topic, with the user's bytes as key."""
    async with publishing(tmp_path, topics) as (spool, _):
        await append(spool, WRITE)
        await waiting(spool, 0)
    [record] = await asyncio.to_thread(topics.records, topics.quarantine)
    schema, body = split(record.value, {})

    assert (b"\xff\xfe", RAW_WRITE) == (record.key, schema)
    assert WRITE.entries == decode_raw_write(body, schema).entries
    assert [] == await asyncio.to_thread(topics.records, topics.events)


async def test_confluent_framing(topics: OutTopics, tmp_path: Path) -> None:
    """A pinned registry id goes out in Confluent's wire format; the other schema keeps the default."""
    async with publishing(tmp_path, topics, schema_ids={"LoginEvent": 7}) as (spool, _):
        await append(spool, unnumbered(), WRITE)
        await waiting(spool, 0)
    [login] = await asyncio.to_thread(topics.records, topics.events)
    [write] = await asyncio.to_thread(topics.records, topics.quarantine)

    assert b"\x00\x00\x00\x00\x07" == login.value[:5]
    assert LOGIN_EVENT is split(login.value, {7: LOGIN_EVENT})[0]
    assert RAW_WRITE is split(write.value, {})[0]


@pytest.mark.parametrize("compression", ["none", "gzip", "lz4", "zstd"])
async def test_every_compression(topics: OutTopics, tmp_path: Path, compression: str) -> None:
    """Thousands of logins arrive once each, in batches that the topic accepts."""
    users = [f"user{n}" for n in range(3_000)]
    async with publishing(tmp_path, topics, compression=compression) as (spool, _):
        await store(spool, users)
        await waiting(spool, 0)
    records = await asyncio.to_thread(topics.records, topics.events)

    assert sorted(users) == sorted(record.key.decode() for record in records)


async def test_partitions_are_those_of_other_clients(topics: OutTopics, stack: Layout, tmp_path: Path) -> None:
    """Java's default partitioner, as librdkafka has it, puts every user where we do."""
    users = [f"user{n}@example.org" for n in range(200)]
    async with publishing(tmp_path, topics) as (spool, _):
        await store(spool, users)
        await waiting(spool, 0)
    ours = {record.key: record.partition for record in await asyncio.to_thread(topics.records, topics.events)}
    theirs: dict[bytes | None, int | None] = {}

    def delivered(_: object, message: Message) -> None:
        theirs[message.key()] = message.partition()

    producer = Producer({"bootstrap.servers": stack.kafka_bootstrap, "partitioner": "murmur2_random"})
    for user in users:
        producer.produce(topics.events, b"", user, on_delivery=delivered)
    await asyncio.to_thread(producer.flush, 20)

    assert theirs == ours
    assert {0, 1, 2} == set(ours.values())


async def test_what_waited_is_published_after_a_restart(topics: OutTopics, tmp_path: Path) -> None:
    """Logins stored without a publisher go out with the next one."""
    async with open_spool(tmp_path) as spool:
        await store(spool, [f"user{n}" for n in range(5_000)])
    async with publishing(tmp_path, topics) as (spool, publisher):
        async with asyncio.timeout(30):
            await publisher.drain()

        assert 0 == spool.rows_waiting
    assert 5_000 == len(await asyncio.to_thread(topics.records, topics.events))


async def test_topics_missing_at_first(unmade: OutTopics, tmp_path: Path) -> None:
    """Missing topics are named with the command that makes them; each flows as soon as it is there, on its own."""
    with capture_logs() as logs:
        async with publishing(tmp_path, unmade) as (spool, _):
            await append(spool, *[unnumbered(f"user{n}") for n in range(100)], WRITE)
            await eventually(lambda: len(said(logs, "topic_missing")) == 2)
            await asyncio.to_thread(unmade.create, unmade.events)
            await waiting(spool, 1)
            await append(spool, WRITE, unnumbered("later"))
            await waiting(spool, 2)
            await asyncio.to_thread(unmade.create, unmade.quarantine)
            await waiting(spool, 0)
    sentences = [line["event"] for line in said(logs, "topic_missing")]

    assert 2 == len(sentences)
    assert all("`lastlogin topics apply`" in sentence for sentence in sentences)
    assert 101 == len(await asyncio.to_thread(unmade.records, unmade.events))
    assert 2 == len(await asyncio.to_thread(unmade.records, unmade.quarantine))


async def test_a_refused_batch_is_held(topics: OutTopics, tmp_path: Path) -> None:
    """What Kafka refuses for good stays in the spool and is named; other topics go on; mended, it goes out."""
    await asyncio.to_thread(topics.configure, topics.quarantine, "max.message.bytes", "100")
    with capture_logs() as logs:
        async with publishing(tmp_path, topics) as (spool, _):
            await append(spool, *[WRITE] * 10)
            await eventually(lambda: bool(said(logs, "partition_refuses")))
            await store(spool, [f"user{n}" for n in range(100)])
            await waiting(spool, 10)
            assert {Kind.RAW_WRITE} == {row.kind for row in await spool.read(0)}
            await asyncio.to_thread(topics.configure, topics.quarantine, "max.message.bytes", "1000000")
            await waiting(spool, 0)
    [line] = said(logs, "partition_refuses")

    assert "MessageSizeTooLargeError" in line["event"]
    assert topics.quarantine in line["event"]
    assert 10 == len(await asyncio.to_thread(topics.records, topics.quarantine))


async def test_kafka_killed_and_back(topics: OutTopics, kafka: Kafka, tmp_path: Path) -> None:
    """With Kafka away messages are stored at little cost of CPU and log; when it is back nothing is missing."""
    with capture_logs() as logs:
        async with publishing(tmp_path, topics) as (spool, publisher):
            await store(spool, ["before"])
            await waiting(spool, 0)
            await asyncio.to_thread(kafka.kill)
            cpu, begun = time.process_time(), time.monotonic()
            await store(spool, [f"user{n}" for n in range(200)])
            await eventually(lambda: bool(said(logs, "kafka_away")), 60)
            # Not waited for, but measured.
            await asyncio.sleep(4)
            share = (time.process_time() - cpu) / (time.monotonic() - begun)
            async with asyncio.timeout(1):
                await publisher.drain()

            assert 200 == spool.rows_waiting
            await asyncio.to_thread(kafka.start)
            await asyncio.to_thread(kafka.wait_ready)
            await waiting(spool, 0)
    [back] = said(logs, "kafka_back")

    assert share < 0.2
    assert len(logs) < 10
    assert 0 < back["rows"] <= 200
    assert 201 == len({record.key for record in await asyncio.to_thread(topics.records, topics.events)})


async def test_kafka_silent(topics: OutTopics, kafka: Kafka, tmp_path: Path) -> None:
    """A Kafka that hangs is complained of, what it did not answer goes out afterwards, and it delays no stop."""
    pid = kafka.process.pid()
    assert pid is not None
    with capture_logs() as logs:
        async with publishing(tmp_path, topics) as (spool, _):
            await store(spool, ["before"])
            await waiting(spool, 0)
            with halted(pid):
                await store(spool, ["during"])
                await eventually(lambda: bool(said(logs, "partition_refuses") or said(logs, "kafka_away")))
            await waiting(spool, 0)
        async with AsyncExitStack() as exits:
            spool, _ = await exits.enter_async_context(publishing(tmp_path, topics))
            await store(spool, ["again"])
            await waiting(spool, 0)
            with halted(pid):
                await store(spool, ["at the end"])
                begun = time.monotonic()
                await exits.aclose()

    assert time.monotonic() - begun < 5


async def test_a_dead_sender_is_replaced(topics: OutTopics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When aiokafka's sender dies a new producer takes over within seconds, and nothing is lost."""
    made: list[AIOKafkaProducer] = []

    def make(**options: Any) -> AIOKafkaProducer:
        made.append(AIOKafkaProducer(**options))
        return made[-1]

    monkeypatch.setattr(publisher_module, "AIOKafkaProducer", make)

    async def die(*_: object) -> None:
        raise ZeroDivisionError

    async with publishing(tmp_path, topics) as (spool, _):
        await store(spool, ["before"])
        await waiting(spool, 0)
        monkeypatch.setattr(made[0]._sender, "_send_produce_req", die)
        await store(spool, ["after"])
        await waiting(spool, 0, 5)

        assert 2 == len(made)
    keys = {record.key for record in await asyncio.to_thread(topics.records, topics.events)}
    assert {b"before", b"after"} == keys
