"""What an acknowledged login survives: outages of Kafka and Cassandra, kill -9 of producer and consumer, poison."""

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from lastlogin_schemas.topics import DEAD_LETTERS, EVENTS
from lastlogin_stack.clients import imap_login
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import EventReader, StatsTable
from tests.support.dict_client import Load
from tests.support.process import memory_bytes
from tests.support.servers import Running


MIB = 1024 * 1024


@pytest.fixture
def running(pipeline: Layout, servers: Running) -> Iterator[Running]:
    """Servers that the test may stop and kill; whatever it did, they run again afterwards."""
    yield servers
    servers.ensure()


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


def _missing_events(
    layout: Layout, acknowledged: list[tuple[str, int]], deadline_s: float = 60.0
) -> set[tuple[str, int]]:
    """Acknowledged logins that are not on the topic. The producer may still be publishing: wait for the last."""
    wanted = set(acknowledged)
    with EventReader(layout, from_beginning=True) as events:
        deadline = time.monotonic() + deadline_s
        while wanted and time.monotonic() < deadline:
            record = events.wait_for(lambda _: True, 1.0)
            if record is not None:
                wanted.discard((record.event.user, record.event.login_at_us // 1000))
    return wanted


@pytest.mark.alone
def test_kafka_down_during_logins(running: Running, table: StatsTable) -> None:
    """With Kafka away logins are acknowledged as fast as ever (p99 < 50 ms); all are in the table later."""
    running.kafka.stop()

    begun = time.monotonic()
    imap_login(running.layout, "test8", source="127.0.0.21")
    greeting_to_bye = time.monotonic() - begun
    with Load(running.layout.dict_socket, "kafka-down-", pause_s=0.005) as load:
        load.wait_until(lambda load: len(load.acknowledged) >= 1500)
    rss = memory_bytes(running.producer.process.pid() or 0, "VmRSS")
    running.kafka.start()
    running.kafka.wait_ready()

    assert [] == load.other_replies
    assert 0 == load.connect_failures
    assert _percentile(load.seconds, 0.99) < 0.050
    assert greeting_to_bye < 1.0
    assert rss < 150 * MIB
    assert set() == _missing_events(running.layout, load.acknowledged)
    assert "imap" in table.wait_for("test8", lambda row: "imap" in row, 30)
    for user, login_at_ms in load.acknowledged[-3:]:
        row = table.wait_for(user, lambda row: "imap" in row, 30)
        assert login_at_ms * 1000 == row["imap"].time_written_us


def test_cassandra_down_then_up(running: Running) -> None:
    """With Cassandra away logins go on, the consumer waits in its group, and every row is there after the return."""
    running.cassandra.stop()
    with Load(running.layout.dict_socket, "cassandra-down-", pause_s=0.01) as load:
        load.wait_until(lambda load: len(load.acknowledged) >= 300)
    pid = running.consumer.process.pid()
    rss = memory_bytes(pid or 0, "VmRSS")
    running.cassandra.start()
    running.cassandra.wait_ready()

    with StatsTable(running.layout) as table:
        for user, login_at_ms in load.acknowledged:
            row = table.wait_for(user, lambda row: "imap" in row, 60)
            assert login_at_ms * 1000 == row["imap"].time_written_us
    assert pid == running.consumer.process.pid()
    assert rss < 150 * MIB


def test_producer_killed_under_load(running: Running) -> None:
    """Kill -9 of the producer, three times under load, loses no acknowledged login."""
    with Load(running.layout.dict_socket, "killed-") as load:
        for _ in range(3):
            seen = len(load.acknowledged)
            load.wait_until(lambda load, seen=seen: len(load.acknowledged) >= seen + 300)
            running.producer.kill()
            running.producer.start()
            running.producer.wait_ready()
        seen = len(load.acknowledged)
        load.wait_until(lambda load: len(load.acknowledged) >= seen + 100)

    assert set() == _missing_events(running.layout, load.acknowledged)


def test_sequence_has_no_holes(running: Running) -> None:
    """Within each epoch of the producer the sequence on events and quarantine covers 1 to the last, kills included."""
    with Load(running.layout.dict_socket, "dense-") as load:
        load.wait_until(lambda load: len(load.acknowledged) >= 100)
        running.producer.kill()
    running.producer.start()
    running.producer.wait_ready()

    assert set() == _missing_events(running.layout, load.acknowledged)
    assert {} == running.holes()


def test_consumer_killed_under_load(running: Running, table: StatsTable) -> None:
    """Kill -9 of the consumer under load only repeats rows: afterwards each user shows the newest login."""
    with Load(running.layout.dict_socket, "consumer-killed-", pause_s=0.005) as load:
        load.wait_until(lambda load: len(load.acknowledged) >= 300)
        running.consumer.kill()
        load.wait_until(lambda load: len(load.acknowledged) >= 500)
    running.consumer.start()
    running.consumer.wait_ready()

    for user, login_at_ms in load.acknowledged:
        row = table.wait_for(user, lambda row: "imap" in row, 60)
        assert login_at_ms * 1000 == row["imap"].time_written_us


def test_poison_record(running: Running, table: StatsTable) -> None:
    """A record that is no event goes to the dead letters with its bytes; logins behind it are written."""
    producer = Producer({"bootstrap.servers": running.layout.kafka_bootstrap, "log_level": 0})
    for partition in running.partitions(EVENTS):
        producer.produce(EVENTS, key=b"poison", value=b"not an event", partition=partition)
    producer.flush(10)

    imap_login(running.layout, "test9", source="127.0.0.21")

    assert "imap" in table.wait_for("test9", lambda row: "imap" in row, 15)
    letters = running.read_raw(
        DEAD_LETTERS, lambda message: message.key() == b"poison", len(running.partitions(EVENTS))
    )
    assert {b"not an event"} == {message.value() for message in letters}
    assert {b"unknown_framing"} == {dict(message.headers())["reason"] for message in letters}


@pytest.mark.alone
def test_a_real_login_is_not_slowed_by_an_absent_producer(running: Running) -> None:
    """A producer that was stopped leaves no socket behind: Dovecot's logins are answered at once, without it."""
    running.producer.stop()

    begun = time.monotonic()
    imap_login(running.layout, "test1", source="127.0.0.21")

    assert not running.layout.dict_socket.exists()
    assert time.monotonic() - begun < 1.0
