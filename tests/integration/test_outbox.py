"""The two processes of a producer: what becomes of one when the other ends, hangs or is told to stop."""

import asyncio
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastlogin_producer import service
from lastlogin_producer.metrics import PREFIX
from lastlogin_producer.outbox import Outbox
from lastlogin_producer.settings import ProducerSettings, SocketSettings
from lastlogin_service.kafka import KafkaSettings
from tests.support.activation import ActivatedProducer
from tests.support.consumer import with_constants
from tests.support.dict_client import write
from tests.support.process import halted, wait_until
from tests.support.producer import ProducerProcess
from tests.support.service_manager import ServiceManager


NOW = "1795387910161"


@pytest.fixture
def producer(tmp_path: Path) -> Iterator[ProducerProcess]:
    """A producer that serves, without Kafka."""
    with ProducerProcess(tmp_path) as producer:
        producer.serve()
        yield producer


def login(producer: ProducerProcess, user: str) -> bytes:
    """One login through the socket; the reply."""
    return write(producer.socket, user, f"shared/last-login/imap/{user}/192.0.2.1", NOW)


def sockets(pid: int) -> set[str]:
    """The sockets that a process has open, by what the kernel calls them."""
    open_files = (str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir())
    return {name for name in open_files if name.startswith("socket:")}


def test_an_outbox_that_is_killed(producer: ProducerProcess) -> None:
    """Without it nothing can be stored: the producer ends with 75 and a sentence; the next start has every login."""
    assert b"O1\n" == login(producer, "a")
    os.kill(producer.outbox, signal.SIGKILL)

    assert 75 == producer.wait()
    assert "lastlogin-producer: The outbox, process " in producer.output()
    assert not producer.socket.exists()
    producer.start()
    producer.wait_for("dict_listening", 2)
    assert 1 == producer.said("spool_open")[-1]["rows"]


def test_a_producer_that_is_killed(producer: ProducerProcess) -> None:
    """Its outbox ends with it, so that the next start finds the spool free, at once."""
    for starts in range(1, 6):
        assert b"O1\n" == login(producer, f"user{starts}")
        outbox = producer.outbox
        producer.kill()
        producer.start()
        producer.wait_for("dict_listening", starts + 1)

        assert starts == producer.said("spool_open")[-1]["rows"]
        wait_until(lambda outbox=outbox: not Path(f"/proc/{outbox}").exists())  # type: ignore[misc]


def test_an_outbox_that_hangs(producer: ProducerProcess) -> None:
    """A login is answered within its 2 s, the producer is not ready and says why; afterwards all is well."""
    assert [] == producer.reasons()
    with halted(producer.outbox):
        # A failure that says that nobody knows whether it was stored.
        assert b"W" == login(producer, "a")[:1]
        producer.wait_until(lambda: any("The outbox has not answered" in reason for reason in producer.reasons()))
    producer.wait_until(lambda: not producer.reasons())

    assert b"O1\n" == login(producer, "b")


def test_an_outbox_that_goes_on_hanging(tmp_path: Path) -> None:
    """When it has hung for as long as is allowed (here 3 s), all who restart the producer are told: /livez, systemd."""
    producer = with_constants(ProducerProcess(tmp_path), {"lastlogin_producer.health:DEAD_S": 3})
    with ServiceManager(tmp_path / "notify") as manager:
        producer.environ(NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="600000")
        with producer:
            producer.serve()
            manager.wait_for("WATCHDOG=1")
            assert 200 == producer.get("/livez")[0]
            with halted(producer.outbox):
                producer.wait_until(lambda: producer.get("/livez")[0] == 503, 3 + 5)
                assert "The outbox has not answered for more than 3 s" in producer.get("/livez")[1]
                assert f"{PREFIX}_ready 0.0" in producer.get("/metrics")[1]
                manager.told()
                with pytest.raises(TimeoutError):
                    manager.wait_for("WATCHDOG=1", 1.2)
            manager.wait_for("WATCHDOG=1")

            assert 200 == producer.get("/livez")[0]
            assert f"{PREFIX}_ready 1.0" in producer.get("/metrics")[1]


def test_a_stop_while_the_outbox_hangs(producer: ProducerProcess) -> None:
    """It ends within its 10 s and says that it left the outbox behind, which is killed."""
    outbox = producer.outbox
    os.kill(outbox, signal.SIGSTOP)
    begun = time.monotonic()

    assert 0 == producer.stop()
    assert time.monotonic() - begun < 12
    assert 1 == len(producer.said("outbox_hangs"))
    wait_until(lambda: not Path(f"/proc/{outbox}").exists())


def test_a_producer_that_is_killed_while_the_outbox_hangs(producer: ProducerProcess) -> None:
    """The kernel ends the outbox, although that hears nothing: the spool is free."""
    outbox = producer.outbox
    os.kill(outbox, signal.SIGSTOP)
    producer.kill()

    wait_until(lambda: not Path(f"/proc/{outbox}").exists())


async def test_a_stop_while_the_spool_is_being_opened(tmp_path: Path) -> None:
    """It is not waited for: a damaged one may take a minute, and a disk that hangs for ever."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    settings = ProducerSettings(
        socket=SocketSettings(path=tmp_path / "dict.sock"), kafka=KafkaSettings(bootstrap_servers=["127.0.0.1:9"])
    )
    with theirs:
        serving = asyncio.create_task(service._serve(settings, lambda: settings, Outbox(0, ours)))
        await asyncio.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 5)

        # What an outbox ends by that can hear it.
        assert b"" == theirs.recv(1)


def test_who_starts_it_ignores_the_end_of_children(tmp_path: Path) -> None:
    """It ends with 0 all the same."""
    producer = ProducerProcess(tmp_path)
    producer.starter = ["/bin/sh", "-c", "trap '' CHLD; exec \"$@\"", "sh"]
    with producer:
        producer.serve()

        assert 0 == producer.stop()


def test_metrics_of_the_outbox(producer: ProducerProcess) -> None:
    """The endpoint tells memory, CPU and files of both processes, each with its own figures."""
    body = producer.get("/metrics")[1]
    starts = re.findall(r"^(\w*process_start_time_seconds) (\S+)$", body, re.MULTILINE)
    rss = re.findall(r"^(\w*process_resident_memory_bytes) (\S+)$", body, re.MULTILINE)

    assert {"process_start_time_seconds", f"{PREFIX}_outbox_process_start_time_seconds"} == set(dict(starts))
    assert 2 == len(set(dict(rss).values()))


def test_signals_that_both_get(producer: ProducerProcess) -> None:
    """A service manager and a terminal signal all processes: the outbox leaves that to the producer."""
    outbox = producer.outbox
    assert b"O1\n" == login(producer, "a")
    os.kill(outbox, signal.SIGHUP)
    os.kill(outbox, signal.SIGINT)
    os.kill(outbox, signal.SIGTERM)
    assert b"O1\n" == login(producer, "b")

    assert 0 == producer.stop()
    assert 2 == producer.said("stopped")[0]["rows"]
    assert not Path(f"/proc/{outbox}").exists()


def test_the_socket_is_not_the_outbox_s(tmp_path: Path) -> None:
    """The outbox does not hold the socket that a service manager gave: with the producer gone nobody serves it."""
    with ActivatedProducer(tmp_path) as producer:
        producer.serve()

        assert sockets(producer.pid)
        assert not sockets(producer.pid) & sockets(producer.outbox)


def test_the_level_of_the_log_reaches_the_outbox(tmp_path: Path) -> None:
    """After a SIGHUP the outbox logs at the new level, too."""
    file = tmp_path / "producer.toml"
    file.write_text('[log]\nlevel = "error"\n', encoding="utf-8")
    with ProducerProcess(tmp_path, arguments=["--config", str(file)]) as producer:
        producer.wait_until(producer.socket.exists)
        file.write_text('[log]\nlevel = "info"\n', encoding="utf-8")
        os.kill(producer.pid, signal.SIGHUP)
        producer.wait_for("reloaded")
        assert 0 == producer.stop()

        assert [] == producer.said("spool_open")
        assert 1 == len(producer.said("stopped"))
