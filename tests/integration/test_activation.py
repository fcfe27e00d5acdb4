"""The producer with a listening socket that the service manager holds: it outlives stops, kills and upgrades."""

import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lastlogin_service.exits import CONFIG, TEMPFAIL
from tests.support.activation import ActivatedProducer, listening
from tests.support.dict_client import Load, write
from tests.support.producer import ProducerProcess
from tests.support.publisher import OutTopics


KEY = "shared/last-login/imap/{}/192.0.2.1"
NOW = "1795387910161"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients wait as long as Dovecot does: on a busy machine a start takes seconds."""
    monkeypatch.setattr("tests.support.dict_client._TIMEOUT_S", 30.0)


def login(path: Path, user: str) -> bytes:
    """One login; the reply."""
    return write(path, user, KEY.format(user), NOW)


def waiting_login(path: Path, user: str) -> socket.socket:
    """A login that has been sent and not been answered."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(str(path))
    client.sendall(f"H3\t2\t0\t\tstatsdb\nB1\t{user}\nS1\t{KEY.format(user)}\t{NOW}\nC1\n".encode())
    return client


def test_the_listener_outlives_the_producer(tmp_path: Path) -> None:
    """A stop leaves file and socket; who logs in meanwhile waits, and is acknowledged by the next start."""
    with ActivatedProducer(tmp_path) as producer:
        producer.serve()
        assert b"O1\n" == login(producer.socket, "a")
        assert 0 == producer.stop()
        with waiting_login(producer.socket, "b") as client:
            producer.start()

            assert b"O1\n" == client.recv(10)
        assert 0 == producer.stop()
        assert [1, 2] == [line["rows"] for line in producer.said("stopped")]


def test_a_stop_is_no_pause(tmp_path: Path) -> None:
    """A stop without Kafka, under load, does not wait for it, and leaves no login without its `O`."""
    with ActivatedProducer(tmp_path) as producer:
        producer.serve()
        with Load(producer.socket, "stop-", threads=2) as load:
            load.wait_until(lambda load: len(load.acknowledged) >= 200)
            begun = time.monotonic()
            assert 0 == producer.stop()
            took = time.monotonic() - begun
            producer.start()
            producer.serve()

    assert took < 5
    assert (0, []) == (load.connect_failures, load.other_replies)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: (listening(path.with_name("other")),), "and socket.path is"),
        (lambda path: (listening(path), listening(path.with_name("other"))), "hands over 2 sockets"),
        (lambda path: (bound(path, socket.SOCK_STREAM),), "does not listen"),
        (lambda path: (bound(path, socket.SOCK_DGRAM),), "is no UNIX stream socket"),
        (lambda _: (socket.create_server(("127.0.0.1", 0)),), "is no UNIX stream socket"),
    ],
    ids=["path", "two", "deaf", "datagram", "tcp"],
)
def test_a_socket_that_does_not_fit(
    tmp_path: Path, make: Callable[[Path], tuple[socket.socket, ...]], words: str
) -> None:
    """A socket that Dovecot does not reach by the configured path is a sentence and 78; none is left behind."""
    with ActivatedProducer(tmp_path, sockets=make(tmp_path / "dict.sock")) as producer:
        assert CONFIG == producer.wait()

        assert words in producer.output()
        assert "Traceback" not in producer.output()
        assert not list(tmp_path.glob("dict.sock*")) + list(tmp_path.glob("other*"))


def bound(path: Path, kind: socket.SocketKind) -> socket.socket:
    """A socket that has a file, and does not listen."""
    made = socket.socket(socket.AF_UNIX, kind)
    made.bind(str(path))
    return made


@pytest.mark.parametrize(
    "settings",
    [{"SOCKET__MODE": "rw"}, {"METRICS__ADDRESS": "192.0.2.1"}],
    ids=["before the settings are read", "after"],
)
def test_giving_up(tmp_path: Path, settings: dict[str, str]) -> None:
    """With 78 nobody will come: the file is gone, the socket takes nobody on, who waited is told at once."""
    path = tmp_path / "dict.sock"
    held = listening(path)
    with waiting_login(path, "a") as client, ActivatedProducer(tmp_path, sockets=(held,), **settings) as producer:
        assert CONFIG == producer.wait()

        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            client.sendall(b"x")
        assert not path.exists()
        # What tells systemd, which holds the same socket, to stop the socket unit.
        poll = select.poll()
        poll.register(held, select.POLLIN)
        assert poll.poll(0)[0][1] & select.POLLHUP
        assert f"the listening socket {path} was shut down" in producer.output()


def test_a_start_that_fails(tmp_path: Path) -> None:
    """With 75 the next start may do better: the socket stays, who waits is told at once, later ones are served."""
    path = tmp_path / "dict.sock"
    with ProducerProcess(tmp_path, "other", SOCKET__PATH=str(tmp_path / "other.sock")) as other:
        other.wait_for("dict_listening")
        held = listening(path)
        with waiting_login(path, "a") as client, ActivatedProducer(tmp_path, sockets=(held,)) as producer:
            assert TEMPFAIL == producer.wait()

            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                client.sendall(b"x")
            assert 0 == other.stop()
            with waiting_login(path, "b") as later:
                producer.start()
                assert b"O1\n" == later.recv(10)


@pytest.mark.alone
def test_kill_9_under_load(topics: OutTopics, tmp_path: Path) -> None:
    """Case 9, its 10 s scaled to 2: logins connect at once while nobody serves, all are answered `O`, none is lost."""
    connects: list[float] = []
    with ActivatedProducer(tmp_path, **topics.producer_settings) as producer:
        producer.serve()
        with Load(producer.socket, "kill-", threads=4) as load:
            load.wait_until(lambda load: len(load.acknowledged) >= 300)
            producer.kill()
            killed = time.monotonic()
            waiting = []
            while time.monotonic() < killed + 2:
                begun = time.monotonic()
                waiting.append(waiting_login(producer.socket, f"queued-{len(waiting)}"))
                connects.append(time.monotonic() - begun)
                load.pause(0.05)
            producer.start()
            replies = [client.recv(10) for client in waiting]
            load.wait_until(lambda load: len(load.acknowledged) >= 600)
        for client in waiting:
            client.close()
        producer.wait_until(lambda: published(topics) >= {user for user, _ in load.acknowledged})
        assert 0 == producer.stop()
    records = topics.records(topics.events)

    assert max(connects) < 0.05
    assert {b"O1\n"} == set(replies)
    # Whoever was connected to the killed process was told so by the end of the connection, or its reset.
    assert {b""} >= set(load.other_replies)
    assert len(load.other_replies) + load.connect_failures <= 4
    assert 0 == load.nobody_there
    assert {f"queued-{number}" for number in range(len(waiting))} <= {record.key.decode() for record in records}
    sequences = {int(record.headers["origin"].rpartition(b"/")[2]) for record in records}
    assert set(range(1, len(sequences) + 1)) == sequences


def published(topics: OutTopics) -> set[str]:
    """Users whose logins are in Kafka."""
    return {record.key.decode() for record in topics.records(topics.events)}


def test_an_upgrade_under_load(topics: OutTopics, tmp_path: Path) -> None:
    """Five times the old one stops and a new one starts: each login connects and gets its `O`, and all are in Kafka."""
    with ActivatedProducer(tmp_path, **topics.producer_settings) as producer:
        producer.serve()
        with Load(producer.socket, "upgrade-", threads=4, pause_s=0.002) as load:
            took = []
            for upgrade in range(1, 6):
                load.wait_until(lambda load, n=upgrade: len(load.acknowledged) >= 100 * n)  # type: ignore[misc]
                begun = time.monotonic()
                assert 0 == producer.stop()
                producer.start()
                producer.serve()
                took.append(time.monotonic() - begun)
        producer.wait_until(lambda: published(topics) >= {user for user, _ in load.acknowledged})
        assert 0 == producer.stop()

    assert (0, []) == (load.connect_failures, load.other_replies)
    # It serves while it stops.
    assert max(load.seconds) < max(took)


def test_started_by_systemd(tmp_path: Path) -> None:
    """The tool of systemd hands its socket over: the login that started the producer is the first one served."""
    producer = ProducerProcess(tmp_path)
    # It passes its environment on by name only.
    names = [f"--setenv={name}" for name in producer._environ]
    producer.starter = ["systemd-socket-activate", f"--listen={producer.socket}", *names]
    with producer:
        producer.wait_until(producer.socket.exists)
        assert b"O1\n" == login(producer.socket, "a")
        assert b"O1\n" == login(producer.socket, "b")

        assert 0 == producer.stop()
        assert producer.socket.exists()
