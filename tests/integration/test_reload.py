"""SIGHUP: services as processes with a real file; the producer's rules change while Dovecot is served."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.dict_client import write
from tests.support.process import ServiceProcess
from tests.support.producer import ProducerProcess
from tests.support.service_manager import ServiceManager


NOW = "1795387910161"
KEY = "shared/last-login/imap/u/192.0.2.7"
HELLO = b"H3\t2\t0\t\t%b\n"


class Reloadable(ProducerProcess):
    """A producer with a file of its own."""

    def __init__(self, directory: Path, content: str) -> None:
        self.file = directory / "producer.toml"
        self.file.write_text(content)
        super().__init__(directory, arguments=("--config", str(self.file)))

    def hang_up(self, content: str) -> None:
        """Write the file anew and send SIGHUP."""
        self.file.write_text(content)
        os.kill(self.pid, signal.SIGHUP)

    def counted(self, name: str) -> float:
        """One of its own samples, labels included."""
        lines = self.get("/metrics")[1].splitlines()
        return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"lastlogin_producer_{name} ")))


@contextmanager
def reader_of(fifo: Path) -> Iterator[None]:
    """Wait until somebody reads `fifo`, and give nothing to read while the block runs."""
    for _ in range(500):
        with suppress(OSError):
            descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            break
        time.sleep(0.01)
    try:
        yield
    finally:
        os.close(descriptor)


DROP = '[[rules]]\nnetworks = ["192.0.2.0/24"]\naction = "drop"\n'
DROPPED = 'dropped_total{by="network"}'


@pytest.fixture
def producer(tmp_path: Path) -> Iterator[Reloadable]:
    """One without rules."""
    with Reloadable(tmp_path, "") as producer:
        producer.serve()
        yield producer


def commit(connection: socket.socket, number: int) -> bytes:
    """One login more on an open connection; the reply."""
    connection.sendall(f"B{number}\tu\nS{number}\t{KEY}\t{NOW}\nC{number}\n".encode())
    return connection.recv(100)


def test_rules_change_under_an_open_connection(producer: Reloadable) -> None:
    """The next commit of a connection that is open is read by the new rules; without them all is as before."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(producer.socket))
        connection.sendall(HELLO % b"statsdb")
        assert b"O1\n" == commit(connection, 1)

        producer.hang_up(DROP)
        producer.wait_for("reloaded")
        assert b"O2\n" == commit(connection, 2)
        assert (1, 1) == (producer.counted(DROPPED), producer.counted("spool_rows"))

        producer.hang_up("")
        producer.wait_for("reloaded", 2)
        assert b"O3\n" == commit(connection, 3)
        assert (1, 2) == (producer.counted(DROPPED), producer.counted("spool_rows"))
    assert 0 == producer.stop()
    # A dropped login had no number: the messages are 1 and 2.
    assert 2 == producer.said("stopped")[0]["rows"]


def test_dicts_change_for_new_connections(producer: Reloadable) -> None:
    """A dict that is added is served at once; one that is removed no longer, and who has it open is put aside."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(producer.socket))
        connection.sendall(HELLO % b"statsdb")
        assert b"O1\n" == commit(connection, 1)
        producer.hang_up("[dicts.other]\n")
        producer.wait_for("reloaded")

        assert b"" == write(producer.socket, "u", KEY, NOW)
        assert b"O2\n" == commit(connection, 2)
        assert 1 == producer.counted('quarantined_total{reason="bad_key"}')
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(producer.socket))
        connection.sendall(HELLO % b"other")
        assert b"O1\n" == commit(connection, 1)


def test_a_bad_file_changes_nothing(producer: Reloadable) -> None:
    """Every mistake is told as at a start, the old rules stay, and the process goes on."""
    producer.hang_up(DROP)
    producer.wait_for("reloaded")
    producer.hang_up('[[rules]]\naction = "drop"\n[socket]\nmode = "rw"\n')
    told = [line["event"] for line in producer.wait_for("reload_refused", 2)]

    assert f"{producer.file}: rules[0].action" in told[1] + told[0]
    assert f"{producer.file}: socket.mode" in told[1] + told[0]
    producer.file.unlink()
    os.kill(producer.pid, signal.SIGHUP)
    assert "there is no such file" in producer.wait_for("reload_refused", 3)[2]["event"]
    assert b"O1\n" == write(producer.socket, "u", KEY, NOW)
    assert 1 == producer.counted(DROPPED)
    assert 0 == producer.stop()


def test_what_needs_a_restart_is_named(producer: Reloadable) -> None:
    """Keys that cannot change in a running producer are named one by one; the level of the log can."""
    producer.hang_up('[shutdown]\ndeadline_s = 5\n[publisher]\ncompression = "lz4"\n[users]\nlower_case = true\n')
    producer.wait_for("restart_needed", 2)
    assert {"shutdown.deadline_s", "publisher.compression"} == {line["key"] for line in producer.said("restart_needed")}

    producer.hang_up('[log]\nlevel = "warning"\n')
    producer.hang_up('[log]\nlevel = "warning"\n[spool]\nmax_rows = 5\n')
    assert "spool.max_rows" == producer.wait_for("restart_needed", 3)[2]["key"]
    assert "log.level" not in {line["key"] for line in producer.said("restart_needed")}
    assert 0 == producer.stop()
    assert [] == producer.said("stopped")


def test_a_hangup_while_it_starts(tmp_path: Path) -> None:
    """It does not end the process, which acts on it once it can."""
    with Reloadable(tmp_path, "") as producer:
        producer.wait_for("spool_open")
        producer.hang_up(DROP)

        assert 1 == producer.wait_for("reloaded")[0]["rules"]
        producer.serve()
        assert b"O1\n" == write(producer.socket, "u", KEY, NOW)
        assert 1 == producer.counted(DROPPED)


def test_a_stop_while_a_reload_hangs(producer: Reloadable) -> None:
    """What the file, a resolver or a directory of users does not answer is not waited for."""
    producer.file.unlink()
    os.mkfifo(producer.file)
    os.kill(producer.pid, signal.SIGHUP)
    with reader_of(producer.file):
        assert b"O1\n" == write(producer.socket, "u", KEY, NOW)
        assert 0 == producer.stop()


def test_hangups_under_load(producer: Reloadable) -> None:
    """Fifty in a row, among logins: each login is answered, and in the end the last file is in force."""
    for number in range(50):
        producer.hang_up("" if number % 2 else DROP)
        assert b"O1\n" == write(producer.socket, "u", KEY, NOW)
    producer.hang_up(DROP * 2)
    producer.wait_until(lambda: producer.said("reloaded")[-1]["rules"] == 2)

    before = producer.counted(DROPPED)
    assert b"O1\n" == write(producer.socket, "u", KEY, NOW)
    assert before + 1 == producer.counted(DROPPED)
    assert 0 == producer.stop()


def test_a_consumer_reads_its_level_again(tmp_path: Path) -> None:
    """While it waits for Kafka, too; the service manager is told, other keys are named, a bad file changes nothing."""
    file = tmp_path / "consumer.toml"
    servers = '[kafka]\nbootstrap_servers = ["127.0.0.1:9"]\n[cassandra]\ncontact_points = ["127.0.0.1"]\n'
    file.write_text(servers)
    own = {"METRICS__PORT": "0", "LOG__FORMAT": "json"}
    consumer = ServiceProcess("lastlogin-consumer", tmp_path / "consumer.log", own, ("--config", str(file)))

    with ServiceManager(tmp_path / "notify") as manager:

        def hang_up(content: str) -> None:
            file.write_text(content)
            consumer.signal(signal.SIGHUP)
            manager.wait_for("RELOADING=1")
            manager.wait_for("READY=1")

        consumer.environ(NOTIFY_SOCKET=manager.address)
        with consumer:
            consumer.wait_for("kafka_failing")
            hang_up(f'linger_s = 1\n{servers}[log]\nlevel = "debug"\n')
            assert "linger_s" == consumer.said("restart_needed")[0]["key"]
            assert "debug" == consumer.said("reloaded")[0]["lowest_level"]
            hang_up(f'{servers}[log]\nlevel = "loud"\n')
            assert f"{file}: log.level" in consumer.said("reload_refused")[0]["event"]
            hang_up(f'{servers}[log]\nlevel = "error"\n')
            assert 0 == consumer.stop()
    assert [] == consumer.said("stopped")
    assert 1 == len(consumer.said("reloaded"))
