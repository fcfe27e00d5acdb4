"""Case 11: somebody takes the producer's socket file away while it runs."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lastlogin_service.exits import TEMPFAIL
from tests.support.activation import ActivatedProducer
from tests.support.dict_client import Load, write
from tests.support.http import get, samples
from tests.support.producer import ProducerProcess


NOTICED_S = 2.0


def login(path: Path, user: str = "a") -> bytes:
    """One login; the reply."""
    return write(path, user, f"shared/last-login/imap/{user}/192.0.2.1", "1795387910161")


def lost(producer: ProducerProcess) -> float:
    """How often the metrics say that the file was missed."""
    return samples(get(producer.metrics_port, "/metrics").body)["lastlogin_producer_dict_socket_lost_total"]


def replace_by_a_dead_socket(path: Path) -> None:
    """Put a socket there that nobody listens on."""
    path.unlink()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


@pytest.mark.parametrize("take_away", [Path.unlink, replace_by_a_dead_socket])
def test_taken_away(tmp_path: Path, take_away: Callable[[Path], None]) -> None:
    """Within 2 s the file is there again, counted and logged; who was connected is served on, nothing is lost."""
    with ProducerProcess(tmp_path) as producer:
        producer.serve()
        with socket.socket(socket.AF_UNIX) as connected:
            connected.connect(str(producer.socket))
            connected.sendall(b"H3\t2\t0\t\tstatsdb\n")
            take_away(producer.socket)
            begun = time.monotonic()
            producer.wait_for("socket_lost")
            took = time.monotonic() - begun
            producer.wait_until(lambda: producer.socket.is_socket() and answers(producer.socket))
            connected.sendall(b"B1\tb\nS1\tshared/last-login/imap/b/192.0.2.1\t1795387910161\nC1\n")
            connected.settimeout(5)

            assert b"O1\n" == connected.recv(10)
        assert took < NOTICED_S
        assert 1 == lost(producer)
        assert 0o660 == producer.socket.stat().st_mode & 0o777
        assert 0 == producer.stop()
        assert 2 == producer.said("stopped")[0]["rows"]
        assert [] == list(tmp_path.glob("dict.sock*"))


def answers(path: Path) -> bool:
    """Whether a login there is acknowledged."""
    try:
        return login(path) == b"O1\n"
    except OSError:
        return False


def test_taken_over(tmp_path: Path) -> None:
    """When another process has the path the producer leaves it alone and ends with 75, its spool in order."""
    with ProducerProcess(tmp_path) as producer, socket.socket(socket.AF_UNIX) as other:
        producer.serve()
        assert b"O1\n" == login(producer.socket)
        producer.socket.unlink()
        other.bind(str(producer.socket))
        other.listen()
        begun = time.monotonic()

        assert TEMPFAIL == producer.wait()
        assert time.monotonic() - begun < NOTICED_S + 2
        assert "another server listens there" in producer.output()
        assert 1 == producer.said("stopped")[0]["rows"]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(producer.socket))


def test_taken_away_under_load(tmp_path: Path) -> None:
    """Whoever was in the queue of the old socket is answered, too: every login that connected has its `O`."""
    with ProducerProcess(tmp_path) as producer:
        producer.serve()
        with Load(producer.socket, "move-", threads=4) as load:
            load.wait_until(lambda load: len(load.acknowledged) >= 100)
            producer.socket.unlink()
            producer.wait_for("socket_lost")
            before = len(load.acknowledged)
            load.wait_until(lambda load: len(load.acknowledged) >= before + 100)

    assert [] == load.other_replies


def test_taken_away_from_the_service_manager(tmp_path: Path) -> None:
    """A file that the service manager made is its to make again: what to do is logged once, and /readyz says so."""
    with ActivatedProducer(tmp_path) as producer:
        producer.serve()
        producer.socket.rename(tmp_path / "aside")
        [line] = producer.wait_for("socket_lost", deadline_s=NOTICED_S)
        unready = get(producer.metrics_port, "/readyz")
        begun = time.monotonic()
        producer.wait_until(lambda: time.monotonic() - begun > 1.5)
        (tmp_path / "aside").rename(producer.socket)
        producer.wait_until(lambda: get(producer.metrics_port, "/readyz").status == 200)

        assert "systemctl restart lastlogin-producer.socket" in line["event"]
        assert "removed or replaced" in unready.json["reasons"][0]
        assert 200 == get(producer.metrics_port, "/livez").status
        assert 1 == len(producer.said("socket_lost")) == lost(producer)
        assert b"O1\n" == login(producer.socket)
