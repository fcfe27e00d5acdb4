"""What the consumer process does with records that are larger than a fetch, or than the dead-letter topic takes."""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from lastlogin_schemas.event import LoginEvent
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.consumer import ConsumerProcess
from tests.support.logins import login
from tests.support.process import wait_until
from tests.support.topics import Topics, own_topics


MIB = 1_048_576


@pytest.fixture
def topics(stack: Layout) -> Iterator[Topics]:
    """Topics of one test, that of the events with room for large records."""
    with own_topics(stack, partitions=2) as topics:
        topics.configure(topics.events, "max.message.bytes", str(4 * MIB))
        yield topics


def _events(count: int) -> list[LoginEvent]:
    now = time.time_ns() // 1000
    return [login(f"large-{uuid4().hex}", now + n, ip="192.0.2.1") for n in range(count)]


def _all_there(rows: StatsTable, events: list[LoginEvent]) -> bool:
    return all(
        (cell := rows.row(event.user).get("imap")) is not None and cell.time_written_us == event.login_at_us
        for event in events
    )


def test_a_record_larger_than_a_fetch(stack: Layout, topics: Topics, rows: StatsTable, tmp_path: Path) -> None:
    """A batch above max_partition_fetch_bytes comes whole: its login is written, and so are those behind it."""
    [large], behind = _events(1), _events(10)
    noise = random.Random(1).randbytes(MIB).hex()  # noqa: S311 - repeatable; it must not get smaller on the way
    topics.publish(large._replace(attributes={"noise": noise}), *behind, partition=0)
    with ConsumerProcess(stack, topics, tmp_path) as consumer:
        consumer.wait_for("assigned")
        wait_until(lambda: topics.lag(consumer.group) == 0)
        assert _all_there(rows, [large, *behind])
        assert 0 == consumer.stop()

    assert [] == topics.letters()
    assert [] == consumer.said("offsets_missing")
    assert [] == consumer.said("partition_held")


def test_a_bad_record_larger_than_the_dead_letters_take(
    stack: Layout, topics: Topics, rows: StatsTable, tmp_path: Path
) -> None:
    """It is neither dropped nor passed: its partition is held and told, the other goes on; room there lets it go on."""
    noise = random.Random(2).randbytes(3 * MIB)  # noqa: S311 - as above
    behind, elsewhere = _events(10), _events(10)
    topics.publish_raw(noise, partition=0)
    topics.publish(*behind, partition=0)
    topics.publish(*elsewhere, partition=1)
    with ConsumerProcess(stack, topics, tmp_path) as consumer:
        [said, *_] = consumer.wait_for("dead_letters_failing")
        wait_until(lambda: topics.lag(consumer.group) == 1 + len(behind))
        assert [] == topics.letters()
        assert "Dead letters cannot be sent" in consumer.reasons()[0]
        topics.configure(topics.dead_letters, "max.message.bytes", str(4 * MIB))
        wait_until(lambda: topics.lag(consumer.group) == 0, 60)
        assert 0 == consumer.stop()

    assert "MessageSizeTooLargeError" == said["error"]
    assert [noise] == [letter.value for letter in topics.letters()]
    assert _all_there(rows, behind + elsewhere)
