"""`lastlogin-consumer replay` between a real Kafka and a real Cassandra."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from lastlogin_schemas.event import LoginEvent
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.command import Ended, service
from tests.support.consumer import ConsumerProcess, consumer_variables
from tests.support.logins import login, message
from tests.support.own_table import OwnTable, own_table
from tests.support.topics import Topics, own_topics


@pytest.fixture
def topics(stack: Layout) -> Iterator[Topics]:
    """Topics of one test, with three partitions."""
    with own_topics(stack, partitions=3) as topics:
        yield topics


@pytest.fixture
def table(stack: Layout) -> Iterator[OwnTable]:
    """A table of one test."""
    with own_table(stack) as table:
        yield table


def _replay(stack: Layout, topics: Topics, table: OwnTable, *arguments: str) -> Ended:
    variables = consumer_variables(stack, topics) | {"GROUP": topics.events, "CASSANDRA__TABLE": table.name}
    return service("lastlogin-consumer", "replay", *arguments, **variables)


def _logins(count: int, prefix: str) -> list[LoginEvent]:
    now = time.time_ns() // 1000 - 10_000_000
    return [login(f"{prefix}{n}", now + n, ip=f"192.0.2.{n}") for n in range(count)]


def _audit_line(done: Ended) -> dict[str, Any]:
    [line] = [line for line in map(json.loads, done.err.splitlines()) if line["action"] == "replayed"]
    return dict(line)


def test_rows_that_are_lost_come_back(stack: Layout, topics: Topics, table: OwnTable, tmp_path: Path) -> None:
    """Two replays at once beside a consumer at work give every row back with its own write time, and nothing else.

    The group's offsets and the dead letters stay as they were; what is of no use is counted, and the run is told.
    """
    now = time.time_ns() // 1000
    first, later = _logins(60, "first"), _logins(60, "later")
    with ConsumerProcess(stack, topics, tmp_path, CASSANDRA__TABLE=table.name) as consumer:
        topics.publish(*first, login("first0", now - 20_000_000), login("ahead", now + 3_600_000_000), partition=0)
        topics.publish(login("sieve", now, service="managesieve"), partition=0)
        topics.publish_raw(b"no event", partition=0)
        topics.publish_raw(None, partition=0)
        topics.flush()
        consumer.wait_until(lambda: topics.lag(consumer.group) == 0)
        rows, letters = table.cells(), topics.letters()
        with StatsTable(stack) as stats:
            stats.session.execute(f"TRUNCATE statsdb.{table.name}")
        assert {} == table.cells()

        with ThreadPoolExecutor() as threads:
            runs = [threads.submit(_replay, stack, topics, table, "--since", "1h") for _ in range(2)]
            topics.publish(*later)
            both = [run.result() for run in runs]
        consumer.wait_until(lambda: topics.lag(consumer.group) == 0)
        committed = topics.committed(consumer.group)
        part = _replay(stack, topics, table, "--offsets", "0:0-3")
        assert committed == topics.committed(consumer.group)
        assert 0 == consumer.stop()

    assert [0, 0, 0] == [done.code for done in (*both, part)], both
    found = table.cells()
    assert rows == {key: cell for key, cell in found.items() if key[0].startswith("first")}
    assert 120 == len(found)
    assert letters == topics.letters()
    assert len(letters) == 3
    for done in both:
        for said in ("1 unknown_framing", "1 null_value", "1 future", "1 unmapped"):
            assert said in done.out
        assert done.out.startswith(f"replaying {_audit_line(done)['records']} records of {topics.events} into ")
    assert "replayed 4 records in" in part.out
    told = _audit_line(part)
    assert (["0:0-3"], 4, 4, topics.events) == (told["offsets"], told["records"], told["rows"], told["topic"])
    assert told["by"]


def test_offsets_without_records(stack: Layout, topics: Topics, table: OwnTable) -> None:
    """Where transactions have left their marks among the records, each record is written all the same."""
    producer = Producer({"bootstrap.servers": topics.servers, "transactional.id": topics.events, "log_level": 0})
    producer.init_transactions(20)
    for batch in (_logins(3, "one"), _logins(3, "other")):
        producer.begin_transaction()
        for event in batch:
            value, headers = message(event)
            producer.produce(topics.events, value, event.user.encode(), 0, headers=headers)
        producer.commit_transaction(20)

    done = _replay(stack, topics, table, "--offsets", "0:0-7")

    assert (0, 6) == (done.code, len(table.cells())), done
    assert [6, ["0:0-7"]] == [_audit_line(done)[name] for name in ("records", "offsets")]


def test_what_retention_has_taken(stack: Layout, topics: Topics, table: OwnTable) -> None:
    """Which offsets are gone, how many, and from when on it is complete is said, and the rest is replayed; exit 1."""
    for partition in range(3):
        topics.publish(*_logins(10, f"p{partition}-"), partition=partition)
    topics.delete_records(4, 0)
    topics.delete_records(10, 1)

    since = _replay(stack, topics, table, "--since", "1h")
    assert (1, 16) == (since.code, len(table.cells()))
    assert "(partition:first-last): 0:4-9, 2:0-9" in since.out
    assert "partition 0 begins with offset 4, appended 20" in since.err
    assert "offsets 0 to 3 (4) are gone: Kafka has deleted them; which of them were appended since 20" in since.err
    assert "partition 1 is empty: offsets 0 to 9 (10) are gone" in since.err
    assert "partition 2" not in since.err

    named = _replay(stack, topics, table, *("--offsets", "0:2-5", "--offsets", "1:0-9", "--offsets", "2:9-9"))
    assert 1 == named.code
    assert "(partition:first-last): 0:4-5, 2:9-9" in named.out
    assert (
        "partition 0: offsets 2 to 3 (2) were asked for and are gone: Kafka has deleted them; complete from 4 on, "
        in (named.err)
    )
    assert "partition 1: offsets 0 to 9 (10) were asked for and are gone" in named.err
    assert "nothing is left of it" in named.err
    assert "3 rows written" in named.out

    wrong = _replay(stack, topics, table, *("--offsets", "2:5-10", "--offsets", "7:0-1"))
    assert (2, "") == (wrong.code, wrong.out)
    assert "2:5-10: goes beyond the end; the last offset of partition 2 is 9" in wrong.err
    assert "7:0-1: there is no such partition; the topic has 0 to 2" in wrong.err
