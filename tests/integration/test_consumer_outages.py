"""What the consumer process does when something is away, missing, or takes its place."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from lastlogin_schemas.event import LoginEvent
from lastlogin_stack.cassandra import Cassandra
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.command import lastlogin
from tests.support.consumer import ConsumerProcess, short_lived_member
from tests.support.damage import flip_bit
from tests.support.gate import Gate
from tests.support.logins import login
from tests.support.process import cpu_s, wait_until
from tests.support.topics import Topics, own_topics


@pytest.fixture
def topics(stack: Layout) -> Iterator[Topics]:
    """Topics of one test, with four partitions."""
    with own_topics(stack, partitions=4) as topics:
        yield topics


def _events(count: int) -> list[LoginEvent]:
    prefix = f"outage-{uuid4().hex[:8]}"
    now = time.time_ns() // 1000
    return [login(f"{prefix}-{n}", now + n, ip=f"192.0.2.{n % 250}") for n in range(count)]


def _assert_rows(rows: StatsTable, events: list[LoginEvent], deadline_s: float = 30.0) -> None:
    deadline = time.monotonic() + deadline_s
    for event in events:
        row = rows.wait_for(event.user, lambda row: "imap" in row, max(0.0, deadline - time.monotonic()))
        assert (event.login_at_us, event.remote_ip) == (row["imap"].time_written_us, row["imap"].address)


def test_cassandra_away_and_back(stack: Layout, topics: Topics, cassandra: Cassandra, tmp_path: Path) -> None:
    """While Cassandra is away nothing is committed, the process stays and costs no CPU; after it every row is there."""
    events = _events(300)
    with ConsumerProcess(stack, topics, tmp_path) as consumer:
        consumer.wait_for("assigned")
        cassandra.stop()
        topics.publish(*events)
        consumer.wait_for("cassandra_failing")
        begun, cpu = time.monotonic(), cpu_s(consumer.pid)
        wait_until(lambda: time.monotonic() - begun > 5)
        share = (cpu_s(consumer.pid) - cpu) / (time.monotonic() - begun)

        assert 300 == topics.lag(consumer.group)
        assert share < 0.2

        cassandra.start()
        cassandra.wait_ready()
        with StatsTable(stack) as rows:
            _assert_rows(rows, events, 60)
        wait_until(lambda: topics.lag(consumer.group) == 0)
        assert len(consumer.said("assigned")) == 1
        assert consumer.said("cassandra_back")
        assert [] == topics.letters()
        assert 0 == consumer.stop()


def test_cassandra_away_at_the_start(stack: Layout, topics: Topics, cassandra_gate: Gate, tmp_path: Path) -> None:
    """The consumer waits for Cassandra and says so, ends at once when told to, and starts when it is there."""
    events = _events(3)
    topics.publish(*events)
    cassandra_gate.shut()
    with ConsumerProcess(stack, topics, tmp_path, CASSANDRA__PORT=str(cassandra_gate.port)) as consumer:
        consumer.wait_for("cassandra_failing")
        assert 0 == consumer.stop(5)
        assert 0 == consumer.said("stopped")[0]["unfinished"]
        consumer.start()
        consumer.wait_for("cassandra_failing", 2)
        cassandra_gate.open()
        with StatsTable(stack) as rows:
            _assert_rows(rows, events, 60)


def test_kafka_away_and_back(stack: Layout, topics: Topics, kafka: Kafka, rows: StatsTable, tmp_path: Path) -> None:
    """A restart of Kafka, seen while running and at the start, needs nobody: later logins are written."""
    first, later = _events(20), _events(20)
    with ConsumerProcess(stack, topics, tmp_path) as consumer, ConsumerProcess(stack, topics, tmp_path) as late:
        topics.publish(*first)
        _assert_rows(rows, first)
        late.wait_for("assigned")
        assert 0 == late.stop()
        wait_until(lambda: consumer.partitions() == [0, 1, 2, 3])
        kafka.stop()
        late.start()
        late.wait_for("kafka_failing")
        kafka.start()
        kafka.wait_ready()
        topics.publish(*later)
        _assert_rows(rows, later, 60)
        late.wait_for("started")
        assert 0 == consumer.stop()
        assert 0 == late.stop()


def test_kill_9_between_write_and_commit(stack: Layout, topics: Topics, rows: StatsTable, tmp_path: Path) -> None:
    """Rows that were written and not committed are written again after the restart, and are the same."""
    with short_lived_member(stack, topics, tmp_path) as consumer:
        consumer.wait_for("assigned")
        for _ in range(10):
            events = _events(50)
            topics.publish(*events)
            _assert_rows(rows, events)
            consumer.kill()
            uncommitted = topics.lag(consumer.group)
            consumer.start()
            if uncommitted:
                break
        assert uncommitted > 0
        # The killed member keeps its partitions until its session has timed out.
        wait_until(lambda: topics.lag(consumer.group) == 0, 60)

        _assert_rows(rows, events)
        assert 0 == consumer.stop()


def test_consumers_share_the_partitions(stack: Layout, topics: Topics, rows: StatsTable, tmp_path: Path) -> None:
    """Consumers that come and go under load share the partitions, and every login is written."""
    published: list[LoginEvent] = []

    def publish() -> None:
        events = _events(100)
        topics.publish(*events)
        published.extend(events)

    with ConsumerProcess(stack, topics, tmp_path) as first, ConsumerProcess(stack, topics, tmp_path) as second:
        publish()
        wait_until(lambda: sorted(first.partitions() + second.partitions()) == [0, 1, 2, 3])
        wait_until(lambda: 2 == len(first.partitions()) == len(second.partitions()))
        for leaving, staying in ((first, second), (second, first)):
            publish()
            assert 0 == leaving.stop()
            publish()
            wait_until(lambda staying=staying: staying.partitions() == [0, 1, 2, 3])  # type: ignore[misc]
            leaving.start()
            publish()
            wait_until(lambda leaving=leaving: len(leaving.partitions()) == 2)  # type: ignore[misc]
        wait_until(lambda: topics.lag(first.group) == 0)
        _assert_rows(rows, published)


def test_sigterm_writes_and_commits_what_was_fetched(
    stack: Layout, topics: Topics, rows: StatsTable, tmp_path: Path
) -> None:
    """Under load the consumer ends with 0 within its deadline, and has committed exactly what it had fetched."""
    events = _events(3000)
    topics.publish(*events)
    with ConsumerProcess(stack, topics, tmp_path, WINDOW__MAX_RECORDS="200", LINGER_S="60") as consumer:
        consumer.wait_for("assigned")
        wait_until(lambda: bool(rows.row(events[0].user)))
        begun = time.monotonic()
        assert 0 == consumer.stop()
        took = time.monotonic() - begun
        [stopped] = consumer.said("stopped")

    assert took < 12
    assert 0 == stopped["unfinished"]
    assert stopped["fetched"] == stopped["written"] > 0
    assert 3000 - stopped["fetched"] == topics.lag(consumer.group)


def test_sigterm_while_cassandra_is_away(stack: Layout, topics: Topics, cassandra_gate: Gate, tmp_path: Path) -> None:
    """What cannot be written within the deadline stays uncommitted; the exit code is 0 all the same."""
    port = str(cassandra_gate.port)
    with ConsumerProcess(stack, topics, tmp_path, SHUTDOWN__DEADLINE_S="1", CASSANDRA__PORT=port) as consumer:
        consumer.wait_for("assigned")
        cassandra_gate.shut()
        topics.publish(*_events(10))
        consumer.wait_for("cassandra_failing")

        assert 0 == consumer.stop(10)
        assert 10 == consumer.said("stopped")[0]["unfinished"]
        assert 10 == topics.lag(consumer.group)


@pytest.mark.parametrize("which", ["events", "dead_letters"])
def test_a_missing_topic_refuses_the_start(stack: Layout, topics: Topics, tmp_path: Path, which: str) -> None:
    """Without the events or the dead-letter topic the consumer ends with 78 and says how to make it."""
    with ConsumerProcess(stack, topics, tmp_path, **{f"TOPICS__{which.upper()}": "no-such-topic"}) as consumer:
        assert 78 == consumer.wait()

    assert "no-such-topic" in consumer.output()
    assert "lastlogin topics apply" in consumer.output()
    assert "Traceback" not in consumer.output()


def test_dead_letters_away_hold_their_partition(
    stack: Layout, topics: Topics, rows: StatsTable, tmp_path: Path
) -> None:
    """Without its topic poison is not passed and its partition stands; others go on; a new topic heals it.

    `lastlogin dlq` says that the topic is missing, and then counts what came there.
    """
    names = {"TOPICS__EVENTS": topics.events, "TOPICS__DEAD_LETTERS": topics.dead_letters}
    events = _events(40)
    with ConsumerProcess(stack, topics, tmp_path, KAFKA__REQUEST_TIMEOUT_MS="3000") as consumer:
        consumer.wait_for("assigned")
        topics.delete(topics.dead_letters)
        topics.publish_raw(b"not an event", partition=2)
        topics.publish(*events)
        consumer.wait_for("dead_letters_failing", deadline_s=60)
        elsewhere = [event for event in events if rows.wait_for(event.user, lambda row: "imap" in row, 0.2)]
        topics.publish(*_events(40))
        wait_until(lambda: 0 < topics.lag(consumer.group) < 30)

        missing = lastlogin(stack, "dlq", "list", **names)
        topics.create(topics.dead_letters, 1)
        wait_until(lambda: topics.lag(consumer.group) == 0, 60)
        _assert_rows(rows, events)

    assert len(elsewhere) >= 20
    assert [b"not an event"] == [letter.value for letter in topics.letters()]
    assert (78, f"lastlogin: Kafka has no topic {topics.dead_letters}") == (
        missing.code,
        missing.err.partition(", ")[0],
    )
    assert lastlogin(stack, "dlq", "list", **names).out.endswith("1 record:\n        1  unknown_framing\n")


def test_a_stopped_consumer_that_wakes_up_changes_nothing(
    stack: Layout, topics: Topics, rows: StatsTable, tmp_path: Path
) -> None:
    """A consumer that slept through its session finds its partitions given away, lives on, and the rows are right."""
    first, later = _events(200), _events(200)
    with (
        short_lived_member(stack, topics, tmp_path) as sleeper,
        short_lived_member(stack, topics, tmp_path) as other,
    ):
        wait_until(lambda: 2 == len(sleeper.partitions()) == len(other.partitions()))
        topics.publish(*first)
        os.kill(sleeper.pid, signal.SIGSTOP)
        try:
            topics.publish(*later)
            _assert_rows(rows, first + later, 60)
        finally:
            os.kill(sleeper.pid, signal.SIGCONT)
        wait_until(lambda: 2 == len(sleeper.partitions()) == len(other.partitions()), 60)
        newest = _events(50)
        topics.publish(*newest)
        _assert_rows(rows, newest)
        wait_until(lambda: topics.lag(other.group) == 0)
        assert 0 == sleeper.stop()
        assert 0 == other.stop()


def test_a_table_made_anew_is_waited_for(stack: Layout, topics: Topics, rows: StatsTable, tmp_path: Path) -> None:
    """With the table dropped the consumer says so, commits nothing and sets nothing aside; a new one is written."""
    name = f"anew_{uuid4().hex[:12]}"
    create = f"CREATE TABLE statsdb.{name} (user text PRIMARY KEY, last_login_imap timestamp, remote_ip_imap inet)"
    rows.session.execute(create)
    first, later = _events(5), _events(5)
    with ConsumerProcess(stack, topics, tmp_path, CASSANDRA__TABLE=name) as consumer:
        topics.publish(*first)
        wait_until(lambda: topics.lag(consumer.group) == 0)
        rows.session.execute(f"DROP TABLE statsdb.{name}")
        topics.publish(*later)
        said = consumer.wait_for("cassandra_failing")
        assert 5 == topics.lag(consumer.group)
        rows.session.execute(create)
        wait_until(lambda: topics.lag(consumer.group) == 0, 90)
        found = rows.session.execute(f"SELECT user FROM statsdb.{name}").all()
        assert 0 == consumer.stop()
    rows.session.execute(f"DROP TABLE statsdb.{name}")

    assert "`lastlogin schema" in said[0]["why"]
    assert {event.user for event in later} == {row.user for row in found}
    assert [] == topics.letters()


def test_a_damaged_batch_is_not_skipped(stack: Layout, topics: Topics, rows: StatsTable, tmp_path: Path) -> None:
    """Damage on the broker's disk: all before it is written, its partition stands there, the others go on.

    When an operator deletes the damaged records, the exact range is reported and the rest is written.
    """
    before, damaged, behind, elsewhere = (_events(10) for _ in range(4))
    for events in (before, damaged, behind):
        topics.publish(*events, partition=0)
    topics.publish(*elsewhere, partition=1)
    flip_bit(stack, topics.events, 0, damaged[3].user.encode())

    with ConsumerProcess(stack, topics, tmp_path) as consumer:
        held = consumer.wait_for("partition_held")[0]
        _assert_rows(rows, before + elsewhere)
        wait_until(lambda: topics.lag(consumer.group) == 20)
        samples = consumer.scrape()
        assert (1, 0) == (samples["partition_held{partition=0}"], samples["partition_held{partition=1}"])
        assert (10, 10) == (samples["watermark_offset{partition=0}"], samples["watermark_offset{partition=1}"])
        topics.delete_records(before=20)
        _assert_rows(rows, behind)
        assert 0 == consumer.scrape()["partition_held{partition=0}"]
        [lost] = consumer.said("offsets_lost")
        wait_until(lambda: topics.lag(consumer.group) == 0)
        assert 0 == consumer.stop()

    assert (0, 10) == (held["partition"], held["position"])
    assert "CorruptRecord" in held["why"]
    assert f"`lastlogin-consumer skip --topic {topics.events} --partition 0 --to 11`" in held["why"]
    assert (0, 10, 20, 10) == (lost["partition"], lost["first"], lost["resume_at"], lost["lost"])
    assert {} == rows.row(damaged[0].user)
    assert [] == topics.letters()
