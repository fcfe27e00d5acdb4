"""The producer as users run it: a process between a socket, a disk and Kafka."""

import os
import time
from pathlib import Path

import pytest

from lastlogin_service.exits import CONFIG, TEMPFAIL
from tests.support.dict_client import Load, write
from tests.support.producer import ProducerProcess
from tests.support.publisher import OutTopics


MIB = 1_048_576
NOW = "1795387910161"
STOPS = 100 if os.environ.get("LASTLOGIN_SOAK") else 5


def login(producer: ProducerProcess, user: str) -> bytes:
    """One login through the socket; the reply."""
    return write(producer.socket, user, f"shared/last-login/imap/{user}/192.0.2.1", NOW)


def test_without_kafka(tmp_path: Path) -> None:
    """Without Kafka it starts, acknowledges, stops at once, and finds the logins again: 2 messages after 2 logins."""
    with ProducerProcess(tmp_path) as producer:
        producer.serve()

        assert b"O1\n" == login(producer, "a")
        assert b"O1\n" == write(producer.socket, "b", "shared/no-pattern", NOW)
        producer.wait_until(lambda: bool(producer.said("kafka_away")))
        begun = time.monotonic()
        assert 0 == producer.stop()
        assert time.monotonic() - begun < 5
        assert 2 == producer.said("stopped")[0]["rows"]
        assert not producer.socket.exists()
        producer.start()
        producer.serve()
        assert 2 == producer.said("spool_open")[1]["rows"]
        assert 0 == producer.stop()


@pytest.mark.alone
def test_kafka_away_costs_little(tmp_path: Path) -> None:
    """500 logins without Kafka: acknowledged (p99 < 50 ms), in 100 MiB, with few log lines and an idle CPU after."""
    with ProducerProcess(tmp_path) as producer:
        producer.serve()
        with Load(producer.socket, "away-", threads=2, pause_s=0.002) as load:
            load.wait_until(lambda load: len(load.acknowledged) >= 500)
        cpu, begun = producer.cpu_s(), time.monotonic()
        producer.wait_until(lambda: time.monotonic() - begun > 3)
        share = (producer.cpu_s() - cpu) / (time.monotonic() - begun)

        assert not load.other_replies
        assert sorted(load.seconds)[len(load.seconds) * 99 // 100] < 0.05
        assert producer.peak_memory_bytes() < 100 * MIB
        assert share < 0.1
        assert len(producer.output().splitlines()) < 10


def test_a_second_instance(tmp_path: Path) -> None:
    """It ends with a sentence and 75, and leaves the first one's socket alone."""
    with ProducerProcess(tmp_path) as first:
        first.serve()
        with ProducerProcess(tmp_path, "second") as second:
            assert TEMPFAIL == second.wait()

            assert "another producer uses this spool" in second.output()
            assert "Traceback" not in second.output()
        assert b"O1\n" == login(first, "a")


def test_a_socket_that_cannot_be_made(tmp_path: Path) -> None:
    """It ends with a sentence and 78, the spool closed."""
    with ProducerProcess(tmp_path, SOCKET__PATH=str(tmp_path / "no" / "dict.sock")) as producer:
        assert CONFIG == producer.wait()

        assert "cannot listen there" in producer.output()
        assert "Traceback" not in producer.output()
        assert producer.said("stopped")


def test_a_spool_that_others_may_write_to(tmp_path: Path) -> None:
    """It ends with a sentence and 78 before anybody can connect."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool").chmod(0o777)
    with ProducerProcess(tmp_path) as producer:
        assert CONFIG == producer.wait()

        assert "chmod go-w" in producer.output()
        assert not producer.socket.exists()


def test_a_broken_spool_ends_the_process(tmp_path: Path) -> None:
    """A spool that is gone ends it with 75; the socket is gone too, and the next start serves."""
    with ProducerProcess(tmp_path) as producer:
        producer.serve()
        (tmp_path / "spool" / "spool.sqlite").unlink()
        assert b"W1\t" == login(producer, "a")[:3]

        assert TEMPFAIL == producer.wait()
        assert not producer.socket.exists()
        producer.start()
        producer.wait_until(producer.socket.exists)
        assert b"O1\n" == login(producer, "a")


def test_sigterm_under_load(topics: OutTopics, tmp_path: Path) -> None:
    """Each of five (soak: 100) times it answers who is connected, hands everything to Kafka and ends with 0 in 10 s."""
    with (
        ProducerProcess(tmp_path, **topics.producer_settings) as producer,
        Load(producer.socket, "term-", threads=4) as load,
    ):
        for stop in range(1, STOPS + 1):
            load.wait_until(lambda load, stop=stop: len(load.acknowledged) >= 200 * stop)  # type: ignore[misc]
            begun = time.monotonic()
            assert 0 == producer.stop()
            assert time.monotonic() - begun < 10
            assert 0 == producer.said("stopped")[-1]["rows"]
            producer.start()
        producer.serve()
        assert 0 == producer.stop()

    assert [] == load.other_replies
    published = {record.key.decode() for record in topics.records(topics.events)}
    assert {user for user, _ in load.acknowledged} <= published


def test_kill_9_under_load(topics: OutTopics, tmp_path: Path) -> None:
    """Whatever was acknowledged before each of five kills is in Kafka in the end, numbered without a hole."""
    acknowledged: set[str] = set()
    with ProducerProcess(tmp_path, **topics.producer_settings) as producer:
        for kill in range(5):
            producer.wait_until(lambda kill=kill: len(producer.said("dict_listening")) > kill)  # type: ignore[misc]
            with Load(producer.socket, f"kill{kill}-", threads=2) as load:
                load.wait_until(lambda load, kill=kill: len(load.acknowledged) >= 50 * (kill + 1))  # type: ignore[misc]
                producer.kill()
            acknowledged.update(user for user, _ in load.acknowledged)
            producer.start()
        producer.wait_until(lambda: len(producer.said("dict_listening")) > 5)
        assert 0 == producer.stop()
    records = topics.records(topics.events)

    assert acknowledged <= {record.key.decode() for record in records}
    sequences = {int(record.headers["origin"].rpartition(b"/")[2]) for record in records}
    assert set(range(1, len(sequences) + 1)) == sequences
