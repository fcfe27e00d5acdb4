"""A Kafka client that falls silent although Kafka is there: it is replaced; if that does not help, the process is."""

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from lastlogin_consumer import dead_letters
from lastlogin_consumer.dead_letters import DeadLetters
from lastlogin_consumer.decode import Poison
from lastlogin_consumer.probe import a_leader_answers
from lastlogin_schemas.event import LoginEvent
from lastlogin_service.backoff import Backoff
from lastlogin_service.kafka import KafkaSettings, client_options
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.consumer import ConsumerProcess
from tests.support.logins import login, record
from tests.support.process import wait_until
from tests.support.topics import Topics, own_topics


@pytest.fixture
def topics(stack: Layout) -> Iterator[Topics]:
    """Topics of one test."""
    with own_topics(stack) as topics:
        yield topics


def _events(count: int) -> list[LoginEvent]:
    now = time.time_ns() // 1000
    return [login(f"stuck-{uuid4().hex}", now + n) for n in range(count)]


def _deaf(stack: Layout, topics: Topics, directory: Path, clients: int) -> ConsumerProcess:
    consumer = ConsumerProcess(stack, topics, directory)
    script = Path(__file__).parents[1] / "support" / "deaf_client.py"
    consumer.starter = [sys.executable, "-P", str(script), str(clients)]
    return consumer


def test_a_silent_client_is_replaced(stack: Layout, topics: Topics, rows: StatsTable, tmp_path: Path) -> None:
    """What it did not give is read by the next one; nobody has to do anything."""
    first, later = _events(1), _events(10)
    with _deaf(stack, topics, tmp_path, clients=1) as consumer:
        consumer.wait_for("assigned")
        topics.publish(*first)
        wait_until(lambda: topics.lag(consumer.group) == 0)
        topics.publish(*later)
        consumer.wait_for("clients_replaced")
        wait_until(lambda: topics.lag(consumer.group) == 0, 30)
        assert 0 == consumer.stop()

    assert all("imap" in rows.row(event.user) for event in first + later)
    assert 1 == len(consumer.said("clients_replaced"))


@pytest.mark.parametrize(("numbers", "answered"), [([0, 99], True), ([99], False), ([], True)])
async def test_one_leader_that_answers_is_enough(
    stack: Layout, topics: Topics, numbers: list[int], *, answered: bool
) -> None:
    """A partition that has no leader does not hide that others have one; alone it is not there for anybody."""
    options = client_options(KafkaSettings(bootstrap_servers=[stack.kafka_bootstrap]), "probe")

    assert answered == await a_leader_answers(options, topics.events, numbers)


async def test_a_kafka_that_is_away_does_not_answer() -> None:
    """Nobody listens on the discard port."""
    options = client_options(KafkaSettings(bootstrap_servers=["127.0.0.1:9"]), "probe")

    assert not await a_leader_answers(options, "events", [0])


def test_when_that_does_not_help_the_process_ends(stack: Layout, topics: Topics, tmp_path: Path) -> None:
    """With 75, so that it is started anew; it says why, without a traceback."""
    with _deaf(stack, topics, tmp_path, clients=2) as consumer:
        consumer.wait_for("assigned")
        # Several might come in two fetches, of which the client gives the first one only.
        topics.publish(*_events(1))
        wait_until(lambda: topics.lag(consumer.group) == 0)
        topics.publish(*_events(10))

        assert 75 == consumer.wait()

    assert "although Kafka answers" in consumer.output()
    assert "Traceback" not in consumer.output()


async def test_nothing_is_left_of_a_client_for_dead_letters(
    stack: Layout, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has fallen silent is replaced, and none of its tasks goes on; the record is there once."""
    monkeypatch.setattr(dead_letters, "_STOP_DEADLINE_S", 0.2)
    monkeypatch.setattr(dead_letters, "_SILENT_AFTER", 0.2)
    options = client_options(KafkaSettings(bootstrap_servers=[stack.kafka_bootstrap], request_timeout_ms=5_000), "d")
    letters = DeadLetters(options, topics.dead_letters, lambda: Backoff(0.01, 0.02, Random(0)))  # noqa: S311
    before = asyncio.all_tasks()
    await letters.start()
    letters._producer.client.send = lambda *_: asyncio.sleep(3600)
    async with asyncio.timeout(20):
        await letters.send([Poison(record(b"?", key=b"k"), "unknown_framing", "a test")])
        await letters.stop(5.0)
        # What has been told to end does so; what goes on fails the test.
        await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)

    assert 1 == len(topics.letters())
