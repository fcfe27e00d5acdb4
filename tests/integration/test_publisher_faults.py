"""What the publisher does when a message is refused, a partition hangs, or aiokafka itself no longer works."""

import asyncio
import os
import sqlite3
import time
from collections import deque
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiokafka.client
import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr
from structlog.testing import capture_logs

from lastlogin_producer import publisher as publisher_module
from lastlogin_producer.records import RecordForm
from lastlogin_producer.spool import Row, Spool
from lastlogin_producer.spool.spool import FILE_NAME
from lastlogin_service.topics import look_at_topics
from tests.support.audit import holes
from tests.support.publisher import OutTopics, eventually, publishing, waiting
from tests.support.spool import BACKEND, append, open_spool, store, unnumbered


class Made(list[AIOKafkaProducer]):
    """Producers that the publisher has made; `options` go above its own."""

    def __init__(self) -> None:
        super().__init__()
        self.options: dict[str, Any] = {}

    def __call__(self, **options: Any) -> AIOKafkaProducer:
        self.append(AIOKafkaProducer(**options | self.options))
        return self[-1]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """Where each producer is remembered."""
    made = Made()
    monkeypatch.setattr(publisher_module, "AIOKafkaProducer", made)
    return made


def hurried(topics: OutTopics) -> OutTopics:
    """With the shortest time that a request may take, for what is told by its passing."""
    topics.kafka = topics.kafka.model_copy(update={"request_timeout_ms": 1_000})
    return topics


def said(logs: Any, action: str) -> list[dict[str, Any]]:
    """Lines with this action."""
    return [line for line in logs if line.get("action") == action]


def users(topics: OutTopics) -> list[str]:
    """Users of all events."""
    return sorted(record.key.decode() for record in topics.records(topics.events))


async def test_the_one_message_that_is_too_large(topics: OutTopics, tmp_path: Path) -> None:
    """Among thousands it is found and set aside; the others arrive once each; the hole in the sequence is named."""
    await asyncio.to_thread(topics.configure, topics.events, "max.message.bytes", "30000")
    good = [f"user{n}" for n in range(3_000)]
    async with open_spool(tmp_path) as spool:
        await store(spool, good[:1_500])
        large = unnumbered("large", attributes={"x": os.urandom(40_000).hex()})._replace(event_id="0af5" * 8)
        await append(spool, large)
        await store(spool, good[1_500:])
        stream = f"{BACKEND}/{spool.epoch}"
    with capture_logs() as logs:
        async with publishing(tmp_path, topics) as (spool, _publisher):
            await waiting(spool, 0)
    records = await asyncio.to_thread(topics.records, topics.events)
    origins = [record.headers["origin"] for record in records]
    with sqlite3.connect(tmp_path / FILE_NAME) as file:
        kept = file.execute("SELECT sequence FROM aside").fetchall()
    file.close()

    assert sorted(good) == sorted(record.key.decode() for record in records)
    assert {"too_large": 1} == spool.rows_set_aside
    assert [(1_501,)] == kept
    assert {stream: [1_501]} == holes(origins)
    assert {} == holes(origins, {stream: [1_501]})
    [line] = said(logs, "message_set_aside")
    assert (1_501, "too_large", large.event_id) == (line["sequence"], line["reason"], line["event_id"])


async def test_a_message_that_is_refused_alone(topics: OutTopics, tmp_path: Path) -> None:
    """While no other one is taken it is held, for the topic may be at fault; the next login settles it."""
    await asyncio.to_thread(topics.configure, topics.events, "max.message.bytes", "1000")
    with capture_logs() as logs:
        async with publishing(tmp_path, topics) as (spool, _publisher):
            await append(spool, unnumbered("same", attributes={"x": os.urandom(2_000).hex()}))
            await eventually(lambda: bool(said(logs, "partition_refuses")))
            assert 1 == spool.rows_waiting
            await store(spool, ["same"])
            await waiting(spool, 0)

    assert {"too_large": 1} == spool.rows_set_aside
    assert ["same"] == await asyncio.to_thread(users, topics)


async def test_a_topic_that_refuses_every_time(
    topics: OutTopics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a clock that the topic does not accept (error 32) all is held and the setting named; mended, all goes."""
    await asyncio.to_thread(topics.configure, topics.events, "message.timestamp.type", "CreateTime")
    await asyncio.to_thread(topics.configure, topics.events, "message.timestamp.before.max.ms", "60000")
    fill = RecordForm.fill

    def late(form: RecordForm, batch: Any, waiting: deque[Row], now_ms: int) -> list[Row]:
        return fill(form, batch, waiting, now_ms - 3_600_000)

    monkeypatch.setattr(RecordForm, "fill", late)
    sent = [f"user{n}" for n in range(300)]
    with capture_logs() as logs:
        async with publishing(tmp_path, topics) as (spool, _publisher):
            await store(spool, sent)
            await eventually(lambda: bool(said(logs, "partition_refuses") and said(logs, "topic_settings")))
            assert 300 == spool.rows_waiting
            await asyncio.to_thread(topics.configure, topics.events, "message.timestamp.type", "LogAppendTime")
            await waiting(spool, 0)

    assert "InvalidTimestampError" in said(logs, "partition_refuses")[0]["event"]
    assert "message.timestamp.type" in said(logs, "topic_settings")[0]["event"]
    assert not spool.rows_set_aside
    assert sorted(sent) == await asyncio.to_thread(users, topics)


async def test_a_partition_that_hangs(
    topics: OutTopics, tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others take all of theirs meanwhile; afterwards it catches up, and hardly a row is read for nothing."""
    rows_read = 0
    read = Spool.read

    async def counted(spool: Spool, after: int, limit: int = 1_000) -> list[Row]:
        nonlocal rows_read
        rows = await read(spool, after, limit)
        rows_read += len(rows)
        return rows

    monkeypatch.setattr(Spool, "read", counted)
    gate = asyncio.Event()
    sent = [f"user{n}" for n in range(45_000)]
    async with open_spool(tmp_path) as spool:
        await store(spool, sent[:30_000])
    async with publishing(tmp_path, topics) as (spool, _):
        await eventually(lambda: bool(made))
        send_batch = made[0].send_batch

        async def held(batch: Any, topic: str, *, partition: int) -> Any:
            if partition == 0:
                await gate.wait()
            return await send_batch(batch, topic, partition=partition)

        monkeypatch.setattr(made[0], "send_batch", held)
        await eventually(lambda: 5_000 < spool.rows_waiting < 12_000)
        await store(spool, sent[30_000:])
        await eventually(lambda: 10_000 < spool.rows_waiting < 16_500)
        passed = rows_read
        gate.set()
        await waiting(spool, 0)
    records = await asyncio.to_thread(topics.records, topics.events)

    assert sorted(sent) == sorted(record.key.decode() for record in records)
    assert passed < 1.5 * len(sent)
    assert rows_read < 2 * len(sent)


async def test_more_partitions(topics: OutTopics, tmp_path: Path, made: Made) -> None:
    """Partitions that are added are used as soon as they are known, and nothing is lost over it."""
    made.options["metadata_max_age_ms"] = 500
    async with publishing(tmp_path, topics) as (spool, _):
        await store(spool, [f"early{n}" for n in range(500)])
        await waiting(spool, 0)
        await asyncio.to_thread(topics.grow, topics.events, 6)
        await eventually(lambda: 6 == len(made[0].client.cluster.partitions_for_topic(topics.events)))
        await store(spool, [f"late{n}" for n in range(500)])
        await waiting(spool, 0)
    records = await asyncio.to_thread(topics.records, topics.events)

    assert 1_000 == len({record.key for record in records})
    assert {0, 1, 2, 3, 4, 5} == {record.partition for record in records if record.key.startswith(b"late")}


async def test_a_sender_that_hangs_is_replaced(
    topics: OutTopics, tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When aiokafka does not send for three request timeouts, and Kafka answers, a new producer is made within 5 s."""
    async with publishing(tmp_path, hurried(topics)) as (spool, _):
        await store(spool, ["before"])
        await waiting(spool, 0)

        async def hang(*_: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(made[0]._sender, "_send_produce_req", hang)
        await store(spool, ["after"])
        await waiting(spool, 0, 3 + 5)

        assert 2 == len(made)
    assert ["after", "before"] == await asyncio.to_thread(users, topics)


@pytest.mark.parametrize("part", ["_sender", "client"])
async def test_a_close_that_hangs(topics: OutTopics, tmp_path: Path, made: Made, part: str) -> None:
    """Neither a stop nor a new producer waits for an old one that cannot be closed; what it had goes out again."""
    released = asyncio.Event()

    async def hang() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    async with AsyncExitStack() as exits:
        spool, _ = await exits.enter_async_context(publishing(tmp_path, topics))
        await store(spool, ["before"])
        await waiting(spool, 0)
        closes = [getattr(made[0], part).close]
        getattr(made[0], part).close = hang
        made[0]._sender.sender_task.cancel()
        await store(spool, ["after"])
        await waiting(spool, 0, 6)
        closes.append(getattr(made[1], part).close)
        getattr(made[1], part).close = hang
        begun = time.monotonic()
        await exits.aclose()
        took = time.monotonic() - begun
    released.set()
    for close in closes:
        await close()

    assert 2 == len(made)
    assert took < 4
    assert ["after", "before"] == sorted(set(await asyncio.to_thread(users, topics)))


async def test_a_look_at_the_topics_that_is_ended(topics: OutTopics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled with its first connection just made, as by a stop, it leaves none open."""
    made = []
    connected = asyncio.Event()
    create = aiokafka.client.create_conn

    async def noted(*place: Any, **options: Any) -> Any:
        made.append(await create(*place, **options))
        connected.set()
        return made[-1]

    monkeypatch.setattr(aiokafka.client, "create_conn", noted)
    looking = asyncio.create_task(look_at_topics(topics.kafka, {"events": topics.events}))
    await connected.wait()
    looking.cancel()
    await asyncio.wait({looking})

    assert looking.cancelled()
    assert not any(connection.connected() for connection in made)


async def test_kafka_refuses_the_login(topics: OutTopics, tmp_path: Path) -> None:
    """The reason that Kafka gives stands in the line that says that nothing can be published."""
    topics.kafka = topics.kafka.model_copy(
        update={"security_protocol": "SASL_PLAINTEXT", "sasl_username": "u", "sasl_password": SecretStr("p")}
    )
    with capture_logs() as logs:
        async with publishing(tmp_path, topics):
            await eventually(lambda: bool(said(logs, "kafka_away")))

    assert "check kafka.security_protocol" in said(logs, "kafka_away")[0]["event"]
