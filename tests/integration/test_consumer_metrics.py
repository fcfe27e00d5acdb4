"""What Prometheus and whoever asks for health see of the consumer process, on a real Kafka and a real Cassandra."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from uuid import uuid4

import pytest

from lastlogin_consumer.decode import POISON_REASONS
from lastlogin_consumer.metrics import OUTCOMES
from lastlogin_schemas.event import LoginEvent
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import Layout
from tests.support.consumer import ConsumerProcess
from tests.support.gate import Gate
from tests.support.logins import login, message
from tests.support.process import wait_until
from tests.support.service_manager import ServiceManager
from tests.support.topics import Topics, own_topics


@pytest.fixture
def topics(stack: Layout) -> Iterator[Topics]:
    """Topics of one test, with two partitions."""
    with own_topics(stack, partitions=2) as topics:
        yield topics


def _events(count: int) -> list[LoginEvent]:
    prefix = f"metrics-{uuid4().hex[:8]}"
    now = time.time_ns() // 1000
    return [login(f"{prefix}-{n}", now + n, ip="203.0.113.9") for n in range(count)]


def _wait_for_all_written(consumer: ConsumerProcess, deadline_s: float = 30.0) -> None:
    wait_until(lambda: consumer.lag() == (0, 0), deadline_s)


def test_the_story_of_every_record_is_scraped(stack: Layout, topics: Topics, tmp_path: Path) -> None:
    """Fetched, written, merged, skipped, unchecked, set aside: each record shows once, and so does each request."""
    [event] = _events(1)
    value, headers = message(event)
    with ConsumerProcess(stack, topics, tmp_path, LINGER_S="1") as consumer:
        consumer.wait_for("assigned")
        topics.publish(event, event, login(event.user, event.login_at_us, service="managesieve"))
        topics.publish_raw(value, (), key=event.user.encode() + b"-unchecked", partition=1)
        topics.publish_raw(b"not an event", headers)
        topics.publish_raw(None, headers)
        topics.flush()
        wait_until(lambda: consumer.scrape()["events_total"] == 6)
        _wait_for_all_written(consumer)
        samples = consumer.scrape()

    assert samples["rows_written_total"] in (1, 2)
    assert 2 == samples["rows_written_total"] + samples["deduplicated_total"] - 1
    assert (1, 1) == (samples["unmapped_total"], samples["unchecked_total"])
    reasons = {reason: samples[f"dead_letters_total{{reason={reason}}}"] for reason in POISON_REASONS}
    assert {"unknown_framing": 1, "null_value": 1} == {reason: n for reason, n in reasons.items() if n}
    requests = {outcome: samples[f"cassandra_write_seconds_count{{outcome={outcome}}}"] for outcome in OUTCOMES}
    rows = samples["rows_written_total"]
    assert {"acknowledged": rows, "timed_out": 0, "refused": 0, "failed": 0} == requests
    assert rows == samples["end_to_end_seconds_count"] == samples["batch_rows_sum"]
    assert 0.5 < samples["end_to_end_seconds_sum"] < 20
    assert (2, 1, 0) == (samples["assigned_partitions"], samples["ready"], samples["offsets_lost_total"])


def test_lag_from_an_empty_topic_to_a_loss(stack: Layout, topics: Topics, cassandra_gate: Gate, tmp_path: Path) -> None:
    """What is told without Cassandra at the start, caught up, in an outage, after it, and of a backlog with a hole."""
    cassandra_gate.shut()
    settings = {"CASSANDRA__PORT": str(cassandra_gate.port), "WINDOW__MAX_RECORDS": "20"}
    consumer = ConsumerProcess(stack, topics, tmp_path, **settings)
    with ServiceManager(tmp_path / "notify") as manager:
        consumer.environ(NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="2000000")
        with consumer:
            _nobody_takes_partitions(consumer)
            cassandra_gate.open()
            consumer.wait_for("assigned", deadline_s=60)
            _an_empty_topic_is_caught_up(consumer)
            manager.wait_for("STATUS=2 partitions, 0 records wait")
            _a_late_row_is_counted(consumer, topics)
            cassandra_gate.shut()
            _an_outage_grows(consumer, topics)
            manager.wait_for("STATUS=Cassandra cannot be written to: ")
            cassandra_gate.open()
            _wait_for_all_written(consumer, 60)
            wait_until(lambda: consumer.reasons() == [])
            assert 201 == consumer.scrape()["rows_written_total"]
            wait_until(lambda: topics.lag(consumer.group) == 0)
            assert 0 == consumer.stop()
            _a_backlog_with_a_loss(consumer, topics)


def _a_backlog_with_a_loss(consumer: ConsumerProcess, topics: Topics) -> None:
    """Of what was there before the start, but for what retention has taken: by Kafka's time, not by the process's."""
    topics.publish(*_events(10), partition=0)
    published = time.time()
    topics.delete_records(before=207)
    wait_until(lambda: time.time() - published > 2)
    consumer.environ(LASTLOGIN_CONSUMER_LINGER_S="60")
    consumer.start()
    started = time.time()
    consumer.wait_for("assigned", 2)
    wait_until(lambda: consumer.scrape()["events_total"] == 4)
    samples, now = consumer.scrape(), time.time()

    assert now - started + 1.9 < samples["lag_seconds{partition=0}"] < now - published + 2
    assert (6, 4, 0) == tuple(
        samples[name] for name in ("offsets_lost_total", "lag_records{partition=0}", "lag_records{partition=1}")
    )
    assert (60, 207, 0) == tuple(
        samples[name] for name in ("linger_seconds", "watermark_offset{partition=0}", "partition_held{partition=0}")
    )
    assert 0 == consumer.stop()
    assert 0 == topics.lag(consumer.group)


def _nobody_takes_partitions(consumer: ConsumerProcess) -> None:
    """Who cannot write leaves them to others: no lag is told, and why it is not ready all the while."""
    consumer.wait_for("cassandra_failing")
    [reason] = consumer.reasons()
    samples = consumer.scrape()

    assert "Not connected to Cassandra: no node answers" in reason
    assert (0, 0) == (samples["ready"], samples["assigned_partitions"])
    assert [] == [name for name in samples if "{partition=" in name]
    assert 200 == consumer.get("/livez")[0]


def _an_empty_topic_is_caught_up(consumer: ConsumerProcess) -> None:
    """Partitions that nothing was ever published to have their four series, at 0; healthy and ready."""
    wait_until(lambda: "lag_seconds{partition=1}" in consumer.scrape())
    samples = consumer.scrape()

    assert 8 == sum("{partition=" in name for name in samples)
    assert {0.0} == {value for name, value in samples.items() if "{partition=" in name}
    assert [(200, True), (200, True)] == [
        (status, '"ok"' in body) for status, body in (consumer.get("/livez"), consumer.get("/readyz"))
    ]
    assert any(name.startswith("build_info{version=") for name in samples)


def _a_late_row_is_counted(consumer: ConsumerProcess, topics: Topics) -> None:
    """Its login was a minute ago, as after an outage of a backend; that is no lag."""
    topics.publish(login(f"late-{uuid4().hex}", time.time_ns() // 1000 - 60_000_000), partition=0)
    wait_until(lambda: consumer.scrape()["rows_written_total"] == 1)
    _wait_for_all_written(consumer)
    samples = consumer.scrape()

    assert (1, 1) == (samples["late_rows_total"], samples["watermark_offset{partition=0}"])
    wait_until(lambda: topics.lag(consumer.group) == 0)


def _an_outage_grows(consumer: ConsumerProcess, topics: Topics) -> None:
    """Records by what is published, fetched or not; seconds also while nothing comes. Others are caught up."""
    topics.publish(*_events(100), partition=0)
    published = time.time()
    wait_until(lambda: consumer.reasons() != [] and consumer.lag()[0] == 100)
    topics.publish(*_events(100), partition=0)
    wait_until(lambda: consumer.lag()[0] == 200)
    _, earlier = consumer.lag()
    wait_until(lambda: consumer.lag()[1] >= earlier + 1)
    before = time.time() - published
    samples = consumer.scrape()
    after = time.time() - published

    assert before - 0.1 <= samples["lag_seconds{partition=0}"] <= after + 2
    assert (200, 0) == (samples["lag_records{partition=0}"], samples["lag_seconds{partition=1}"])
    assert "Cassandra cannot be written to" in consumer.reasons()[0]
    assert (503, 200) == (consumer.get("/readyz")[0], consumer.get("/livez")[0])
    assert (0, 2) == (samples["ready"], samples["assigned_partitions"])
    assert 0 < samples["cassandra_write_seconds_count{outcome=failed}"] == samples["cassandra_retries_total"]


def test_kafka_away_is_seen(stack: Layout, topics: Topics, kafka: Kafka, tmp_path: Path) -> None:
    """Not ready while Kafka does not answer, running or starting; lag stays as last known; ready when it is back."""
    with ConsumerProcess(stack, topics, tmp_path) as consumer, ConsumerProcess(stack, topics, tmp_path) as late:
        late.wait_for("assigned")
        assert 0 == late.stop()
        wait_until(lambda: consumer.partitions() == [0, 1])
        _wait_for_all_written(consumer)
        kafka.stop()
        late.start()
        late.wait_for("kafka_failing")
        assert ["Kafka cannot be used"] == [reason.partition(":")[0] for reason in late.reasons()]
        wait_until(lambda: consumer.reasons() != [])
        assert "Kafka does not answer" in consumer.reasons()[0]
        consumer.wait_for("kafka_away")
        assert (0, 0) == consumer.lag()
        assert [] == consumer.said("kafka_back")
        kafka.start()
        kafka.wait_ready()
        wait_until(lambda: consumer.scrape()["ready"] == late.scrape()["ready"] == 1, 90)
        consumer.wait_for("kafka_back")
        assert [] == late.said("kafka_away")


def test_a_member_that_stands_by_tells_that_kafka_is_away(
    stack: Layout, topics: Topics, kafka: Kafka, tmp_path: Path
) -> None:
    """It has no partition that could tell; it is ready again with Kafka."""
    with (
        ConsumerProcess(stack, topics, tmp_path) as first,
        ConsumerProcess(stack, topics, tmp_path) as second,
        ConsumerProcess(stack, topics, tmp_path) as third,
    ):
        members = (first, second, third)
        wait_until(lambda: sorted(len(each.partitions()) for each in members) == [0, 1, 1], 60)
        wait_until(lambda: all(each.reasons() == [] for each in members))
        [standby] = [each for each in members if not each.partitions()]
        kafka.stop()
        wait_until(lambda: standby.reasons() == ["Kafka does not answer"])
        standby.wait_for("kafka_away")
        kafka.start()
        kafka.wait_ready()
        wait_until(lambda: all(each.reasons() == [] for each in members), 90)


def test_a_second_member_takes_series_over(stack: Layout, topics: Topics, tmp_path: Path) -> None:
    """Each partition is told by the member that has it and by no other; a third one stands by, and is ready."""

    def told(consumer: ConsumerProcess) -> list[str]:
        return sorted(name for name in consumer.scrape() if "{partition=" in name)

    names = ("lag_records", "lag_seconds", "partition_held", "watermark_offset")
    both = [f"{name}{{partition={number}}}" for name in names for number in (0, 1)]
    with (
        ConsumerProcess(stack, topics, tmp_path) as first,
        ConsumerProcess(stack, topics, tmp_path) as second,
        ConsumerProcess(stack, topics, tmp_path) as third,
    ):
        wait_until(lambda: sorted([*told(first), *told(second), *told(third)]) == both, 60)
        wait_until(lambda: all(consumer.reasons() == [] for consumer in (first, second, third)))
        assert [0, 1, 1] == sorted(c.scrape()["assigned_partitions"] for c in (first, second, third))
        assert 0 == second.stop()
        assert 0 == third.stop()
        wait_until(lambda: told(first) == both)
        samples = first.scrape()
        # Others have come and gone, while it was in the group.
        assert 1 <= samples["rebalance_seconds_count"] <= 5
        assert 0 < samples["rebalance_seconds_sum"] < 60


def test_poison_that_cannot_be_set_aside_counts_as_lag(stack: Layout, topics: Topics, tmp_path: Path) -> None:
    """Without its topic the dead letter holds its partition: lag and readiness tell, its counter does not."""
    with ConsumerProcess(stack, topics, tmp_path, KAFKA__REQUEST_TIMEOUT_MS="3000") as consumer:
        consumer.wait_for("assigned")
        topics.delete(topics.dead_letters)
        topics.publish_raw(b"not an event", partition=1)
        topics.flush()
        consumer.wait_for("dead_letters_failing", deadline_s=60)
        samples = consumer.scrape()
        assert (1, 0) == (samples["lag_records{partition=1}"], samples["lag_records{partition=0}"])
        assert samples["lag_seconds{partition=1}"] > 1
        assert 0 == samples["dead_letters_total{reason=unknown_framing}"]
        assert "Dead letters cannot be sent" in consumer.reasons()[0]

        topics.create(topics.dead_letters, 1)
        _wait_for_all_written(consumer, 60)
        assert [] == consumer.reasons()
        assert 1 == consumer.scrape()["dead_letters_total{reason=unknown_framing}"]


def test_deleted_records_are_counted_and_no_lag(stack: Layout, topics: Topics, tmp_path: Path) -> None:
    """What retention took before it was read is lost, counted, and no longer behind, also when nothing follows."""
    with ConsumerProcess(stack, topics, tmp_path) as consumer:
        topics.publish(*_events(1), partition=0)
        consumer.wait_for("assigned")
        wait_until(lambda: topics.lag(consumer.group) == 0)
        assert 0 == consumer.stop()
        topics.publish(*_events(7), partition=0)
        topics.delete_records(before=8)
        consumer.start()
        consumer.wait_for("offsets_lost")
        _wait_for_all_written(consumer)

        assert 7 == consumer.scrape()["offsets_lost_total"]
        assert 0 == consumer.stop()


@pytest.mark.alone
def test_a_thousand_users_leave_no_trace(stack: Layout, topics: Topics, tmp_path: Path) -> None:
    """No user and no address is scraped, the series stay the same, and a scrape takes less than 20 ms."""
    events = _events(1000)
    with ConsumerProcess(stack, topics, tmp_path) as consumer:
        topics.publish(*events[:1])
        wait_until(lambda: consumer.scrape()["rows_written_total"] == 1)
        _wait_for_all_written(consumer)
        wait_until(lambda: "lag_seconds{partition=1}" in consumer.scrape())
        before = set(consumer.scrape())
        topics.publish(*events[1:])
        wait_until(lambda: consumer.scrape()["rows_written_total"] == 1000)
        _wait_for_all_written(consumer)
        text = consumer.get("/metrics")[1]
        took = []
        for _ in range(20):
            begun = time.perf_counter()
            consumer.get("/metrics")
            took.append(time.perf_counter() - begun)

        assert before == set(consumer.scrape())
    assert "metrics-" not in text
    assert "203.0.113" not in text
    assert 0.02 > median(took)


def test_a_port_in_use_is_temporary(stack: Layout, topics: Topics, tmp_path: Path) -> None:
    """Another program on the port of the endpoint: 75, and the sentence names the port."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with ConsumerProcess(stack, topics, tmp_path, METRICS__PORT=str(port)) as consumer:
            assert 75 == consumer.wait()

    assert f"metrics.port {port}" in consumer.output()
    assert "Traceback" not in consumer.output()


def test_an_address_of_another_machine_is_configuration(stack: Layout, topics: Topics, tmp_path: Path) -> None:
    """An address that this machine does not have: 78, and the sentence names it."""
    with ConsumerProcess(stack, topics, tmp_path, METRICS__ADDRESS="192.0.2.1") as consumer:
        assert 78 == consumer.wait()

    assert "metrics.address 192.0.2.1" in consumer.output()
    assert "Traceback" not in consumer.output()
