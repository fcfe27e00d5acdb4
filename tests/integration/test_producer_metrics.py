"""What the producer, as a process, tells on its endpoint."""

import socket
import time
from contextlib import closing
from pathlib import Path

from lastlogin_service.exits import CONFIG, TEMPFAIL
from tests.support.dict_client import write
from tests.support.http import get, samples
from tests.support.producer import ProducerProcess
from tests.support.publisher import OutTopics


NOW = "1795387910161"


def scrape(producer: ProducerProcess) -> dict[str, float]:
    """All metrics of the producer, without the prefix of their names."""
    answer = get(producer.metrics_port, "/metrics")
    assert 200 == answer.status
    return {name.removeprefix("lastlogin_producer_"): value for name, value in samples(answer.body).items()}


def login(producer: ProducerProcess, user: str) -> bytes:
    """One login through the socket; the reply."""
    return write(producer.socket, user, f"shared/last-login/imap/{user}/192.0.2.1", NOW)


def command(producer: ProducerProcess, line: str) -> None:
    """One command in a connection of its own, until the reply is there."""
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(5)
        connection.connect(str(producer.socket))
        connection.sendall(f"H3\t2\t0\t\tstatsdb\n{line}\n".encode())
        connection.recv(100)


def test_counts_of_the_dict_side(tmp_path: Path) -> None:
    """Two logins, a write that is none and a refused look-up are counted once each, and take up the spool."""
    with ProducerProcess(tmp_path) as producer:
        producer.serve()
        for user in "ab":
            assert b"O1\n" == login(producer, user)
        assert b"O1\n" == write(producer.socket, "c", "shared/no-pattern", NOW)
        command(producer, "Lshared/last-login/imap/a\ta")
        found = scrape(producer)

    assert 1 == found["ready"]
    assert abs(found["clock_seconds"] - time.time()) < 60
    assert (2, 0) == (found['logins_total{service="imap"}'], found['logins_total{service="other"}'])
    assert 3 == found['dict_commit_reply_seconds_count{reply="stored"}']
    assert 0 == found['dict_commit_reply_seconds_count{reply="full"}']
    assert 0 < found['dict_commit_reply_seconds_sum{reply="stored"}'] < 3
    assert 4 == found["dict_connections_accepted_total"]
    assert 1 == found['quarantined_total{reason="bad_key"}']
    assert 1 == found['dict_refused_total{reason="lookup"}']
    assert 3 == found["spool_rows"]
    assert 0 < found["spool_bytes"] < found["spool_max_bytes"]
    # Each reply was waited for.
    assert (3, 3, 3) == tuple(found[f"spool_sync_{name}"] for name in ("seconds_count", "rows_count", "rows_sum"))
    assert 0 < found["spool_sync_seconds_sum"] < found['dict_commit_reply_seconds_sum{reply="stored"}']


def test_without_kafka(tmp_path: Path) -> None:
    """Without Kafka it is live and ready, and the oldest message's age grows by the clock, also after a restart."""
    with ProducerProcess(tmp_path) as producer:
        producer.serve()
        assert 0 == scrape(producer)["spool_oldest_age_seconds"]
        login(producer, "a")
        begun = time.monotonic()
        producer.wait_until(lambda: scrape(producer)["spool_oldest_age_seconds"] > 0, 5)
        first, at = scrape(producer)["spool_oldest_age_seconds"], time.monotonic()
        assert (200, 200) == tuple(get(producer.metrics_port, path).status for path in ("/livez", "/readyz"))
        producer.stop()
        producer.start()
        producer.serve()
        producer.wait_until(lambda: scrape(producer)["spool_oldest_age_seconds"] > first, 5)
        age = scrape(producer)["spool_oldest_age_seconds"]

        assert age - first >= 0.5 * (time.monotonic() - at)
        assert age <= time.monotonic() - begun + 1


def test_spool_full(tmp_path: Path) -> None:
    """With a full spool refused logins are counted as such, and it is live but not ready, and says why."""
    with ProducerProcess(tmp_path, SPOOL__MAX_ROWS="2") as producer:
        producer.serve()
        replies = [login(producer, user) for user in "abc"]
        found = scrape(producer)
        ready = get(producer.metrics_port, "/readyz")

        assert replies[2].startswith(b"F1\t")
        assert 2 == found["spool_rows"] == found["spool_max_rows"]
        assert (1, 0) == (found["spool_used_ratio"], found["ready"])
        assert 2 == found['logins_total{service="imap"}']
        assert 1 == found['dict_commit_reply_seconds_count{reply="full"}']
        assert 200 == get(producer.metrics_port, "/livez").status
        assert 503 == ready.status
        assert ["The spool is full and refuses logins: Kafka must take some, or the disk needs room"] == (
            ready.json["reasons"]
        )


def test_users_make_no_series(tmp_path: Path) -> None:
    """After 1,000 users there are as many series as before, fewer than 300, and none of them names a user."""
    with ProducerProcess(tmp_path) as producer:
        producer.serve()
        before = scrape(producer)
        for number in range(1_000):
            assert b"O1\n" == login(producer, f"somebody-{number}@example.org")
        after, text = scrape(producer), get(producer.metrics_port, "/metrics").body

    assert before.keys() == after.keys()
    assert len(after) < 300
    assert "somebody" not in text
    assert "192.0.2.1" not in text


def test_published(tmp_path: Path, topics: OutTopics) -> None:
    """What Kafka acknowledged is counted by topic and timed by batch; then nothing waits, and nothing is old."""
    with ProducerProcess(tmp_path, **topics.producer_settings) as producer:
        producer.serve()
        for user in "ab":
            login(producer, user)
        write(producer.socket, "c", "shared/no-pattern", NOW)
        producer.wait_until(lambda: scrape(producer)["spool_rows"] == 0)
        found = scrape(producer)

    assert 2 == found[f'kafka_published_total{{topic="{topics.events}"}}']
    assert 1 == found[f'kafka_published_total{{topic="{topics.quarantine}"}}']
    assert 1 <= found['kafka_publish_seconds_count{outcome="acknowledged"}'] <= 3
    assert 0 == found['kafka_publish_seconds_count{outcome="failed"}']
    assert 0 == found["kafka_in_flight_rows"]
    assert 0 == found["spool_oldest_age_seconds"]


def test_port_in_use(tmp_path: Path) -> None:
    """With its port in use it ends with 75 and a sentence; no socket is left, and the spool is free at once."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = str(other.getsockname()[1])
        with ProducerProcess(tmp_path, METRICS__PORT=port) as producer:
            assert TEMPFAIL == producer.wait()
            assert f"metrics.port {port}: another program listens there" in producer.output()
            assert not producer.socket.exists()
            assert "Traceback" not in producer.output()
    with ProducerProcess(tmp_path, "second") as producer:
        producer.serve()
        assert 0 == producer.stop()


def test_address_of_another_machine(tmp_path: Path) -> None:
    """With an address that is not this machine's it ends with 78 and a sentence, and leaves no socket."""
    with ProducerProcess(tmp_path, METRICS__ADDRESS="192.0.2.1") as producer:
        assert CONFIG == producer.wait()
        assert "metrics.address 192.0.2.1" in producer.output()
        assert not producer.socket.exists()
        assert "Traceback" not in producer.output()
