"""What the producer tells systemd while it starts, serves, hangs and stops."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.dict_client import write
from tests.support.producer import ProducerProcess
from tests.support.service_manager import ServiceManager


WATCHDOG_S = 0.6


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
