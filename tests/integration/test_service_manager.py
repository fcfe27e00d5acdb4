"""What the services tell systemd while they start, work, hang and stop."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.dict_client import write
from tests.support.process import ServiceProcess, halted
from tests.support.producer import ProducerProcess
from tests.support.service_manager import ServiceManager


WATCHDOG_S = 0.6


@pytest.fixture
def consumer(tmp_path: Path, unused_tcp_port: int) -> Iterator[ServiceProcess]:
    """A consumer, not started yet, whose Kafka is away."""
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{unused_tcp_port}",
        "CASSANDRA__CONTACT_POINTS": "127.0.0.1",
        "METRICS__PORT": "0",
        "LOG__FORMAT": "json",
    }
    consumer = ServiceProcess("lastlogin-consumer", tmp_path / "consumer.log", settings)
    yield consumer
    if consumer.running:
        consumer.kill()


def test_a_consumer_is_ready_while_it_waits_for_kafka(tmp_path: Path, consumer: ServiceProcess) -> None:
    """With its endpoint; then the watchdog is fed all the while, though Kafka is away, and the status says that it is.

    Not while the process stands still. A stop is told when it begins.
    """
    with ServiceManager(tmp_path / "notify") as manager:
        consumer.environ(NOTIFY_SOCKET=manager.address, WATCHDOG_USEC=str(int(WATCHDOG_S * 1e6)))
        consumer.start()
        manager.wait_for("READY=1")
        assert 200 == consumer.get("/livez")[0]
        manager.wait_for("STATUS=Kafka cannot be used: ")
        for _ in range(3):
            manager.wait_for("WATCHDOG=1", WATCHDOG_S)
        with halted(consumer.pid):
            manager.told()
            with pytest.raises(TimeoutError):
                manager.wait_for("WATCHDOG=1", 2 * WATCHDOG_S)
        manager.wait_for("WATCHDOG=1", 2 * WATCHDOG_S)
        assert 0 == consumer.stop()
        told = manager.told()

    states = [message for message in told if message.startswith(("READY", "STOPPING"))]
    assert ["STOPPING=1"] == states


def test_a_consumer_without_an_endpoint_is_not_ready(
    tmp_path: Path, consumer: ServiceProcess, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """A start that fails never says that it is."""
    with ServiceManager(tmp_path / "notify") as manager, socket.socket() as other:
        other.bind(("127.0.0.1", port := unused_tcp_port_factory()))
        other.listen()
        consumer.environ(NOTIFY_SOCKET=manager.address, LASTLOGIN_CONSUMER_METRICS__PORT=str(port))
        consumer.start()

        assert 75 == consumer.wait()
        assert "READY=1" not in manager.told()


def test_states_of_a_life(tmp_path: Path) -> None:
    """It is ready once logins are answered and not before, says what waits, and tells a stop when it begins."""
    with ServiceManager(tmp_path / "notify") as manager, ProducerProcess(tmp_path) as producer:
        producer.kill()
        producer.environ(NOTIFY_SOCKET=manager.address)
        producer.start()
        manager.wait_for("READY=1")
        assert b"O1\n" == write(producer.socket, "a", "shared/last-login/imap/a", "1795387910161")
        assert 0 == producer.stop()
        told = manager.told()
        producer.start()
        manager.wait_for("STATUS=1 messages wait for Kafka")

        assert "STOPPING=1" == told[-1]


def test_the_watchdog_is_fed(tmp_path: Path) -> None:
    """The watchdog is fed at least once in its time, and not while the process stands still."""
    with ServiceManager(tmp_path / "notify") as manager, ProducerProcess(tmp_path) as producer:
        producer.kill()
        producer.environ(NOTIFY_SOCKET=manager.address, WATCHDOG_USEC=str(int(WATCHDOG_S * 1e6)))
        producer.start()
        manager.wait_for("READY=1")
        for _ in range(5):
            manager.wait_for("WATCHDOG=1", WATCHDOG_S)
        os.kill(producer.pid, signal.SIGSTOP)
        try:
            manager.told()
            with pytest.raises(TimeoutError):
                manager.wait_for("WATCHDOG=1", 2 * WATCHDOG_S)
        finally:
            os.kill(producer.pid, signal.SIGCONT)
        manager.wait_for("WATCHDOG=1", 2 * WATCHDOG_S)


def test_not_ready_without_a_socket(tmp_path: Path) -> None:
    """A start that fails never says that it is ready."""
    with (
        ServiceManager(tmp_path / "notify") as manager,
        ProducerProcess(tmp_path, SOCKET__PATH=str(tmp_path / "no" / "dict.sock")) as producer,
    ):
        producer.kill()
        producer.environ(NOTIFY_SOCKET=manager.address)
        producer.start()
        producer.wait()

        assert "READY=1" not in manager.told()
