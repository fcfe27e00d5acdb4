"""Cases 10 and 52: more clients than the producer takes, and less memory than it needs."""

import os
import resource
import selectors
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.activation import ActivatedProducer
from tests.support.dict_client import Load, write
from tests.support.http import get, samples
from tests.support.producer import ProducerProcess


pytestmark = pytest.mark.alone

MIB = 1_048_576
LOGIN = b"H3\t2\t0\t\tstatsdb\nB1\tu\nS1\tshared/last-login/imap/u/192.0.2.1\t1795387910161\nC1\n"


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for the clients' descriptors in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 12_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(path: Path, stack: ExitStack) -> socket.socket:
    """Connect as Dovecot does, without waiting. Raises BlockingIOError where Dovecot would try again for 3 s."""
    client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
    client.connect(str(path))
    return client


@pytest.mark.usefixtures("many_files")
def test_5000_logins_at_once(tmp_path: Path) -> None:
    """4,000 logins wait for a producer that stands still, 1,000 come after: no connect is put off for want of room.

    Nobody leaves before all are there: 4,096 are answered, as many connections as there may be; the others are closed.
    """
    with ProducerProcess(tmp_path) as producer, ExitStack() as stack, selectors.DefaultSelector() as selector:
        producer.serve()
        os.kill(producer.pid, signal.SIGSTOP)
        for _ in range(4_000):
            log_in(connect(producer.socket, stack), selector)
        os.kill(producer.pid, signal.SIGCONT)
        begun = time.monotonic()
        answers = list(read_each(selector, 2_000, 20))
        for _ in range(1_000):
            log_in(connect(producer.socket, stack), selector)
        answers += read_each(selector, 5_000 - len(answers), 20)
        took = time.monotonic() - begun

        assert {b"O1\n", b""} == set(answers)
        assert (5_000, 4_096) == (len(answers), answers.count(b"O1\n"))
        assert took < 5
        assert producer.peak_memory_bytes() < 100 * MIB


@pytest.mark.usefixtures("many_files")
def test_10000_idle_connections(tmp_path: Path) -> None:
    """Of 10,000 clients that say nothing 4,096 are kept; the others are closed at once, in less than 100 MiB."""
    with ProducerProcess(tmp_path) as producer, ExitStack() as stack, selectors.DefaultSelector() as selector:
        producer.serve()
        for number in range(1, 10_001):
            selector.register(connect(producer.socket, stack), selectors.EVENT_READ)
            if number % 2_000 == 0:
                producer.wait_until(lambda number=number: accepted(producer) == number)  # type: ignore[misc]
        closed = list(read_each(selector, 10_000 - 4_096, 4))

        assert [b""] * (10_000 - 4_096) == closed
        assert producer.peak_memory_bytes() < 100 * MIB


def accepted(producer: ProducerProcess) -> float:
    """How many connections it has taken on, those included that it closed."""
    return samples(get(producer.metrics_port, "/metrics").body)["lastlogin_producer_dict_connections_accepted_total"]


def log_in(client: socket.socket, selector: selectors.BaseSelector) -> None:
    """Send a login and wait for its answer with the others'; the server may have closed already."""
    with suppress(BrokenPipeError):
        client.send(LOGIN)
    selector.register(client, selectors.EVENT_READ)


def read_each(selector: selectors.BaseSelector, count: int, deadline_s: float) -> Iterator[bytes]:
    """Read once from each client that has something, until `count` had; empty where the server has closed."""
    deadline = time.monotonic() + deadline_s
    while count > 0 and time.monotonic() < deadline:
        for key, _ in selector.select(0.1)[:count]:
            selector.unregister(key.fileobj)
            count -= 1
            try:
                yield key.fileobj.recv(100)  # type: ignore[union-attr]
            except ConnectionResetError:
                yield b""


def test_memory_limit(tmp_path: Path) -> None:
    """Killed for its memory under load (as the kernel does it, SIGKILL), it starts again with all that it acknowledged.

    The limit is the process's own address space, which ends in the kill here: a control group needs root.
    """
    with ActivatedProducer(tmp_path) as producer:
        producer.serve()
        with Load(producer.socket, "memory-", threads=4) as load:
            load.wait_until(lambda load: len(load.acknowledged) >= 200)
            limit = producer.virtual_bytes()
            resource.prlimit(producer.pid, resource.RLIMIT_AS, (limit, limit))
            before = len(load.acknowledged)
            load.wait_until(lambda load: len(load.acknowledged) + len(load.other_replies) >= before + 200)
            producer.kill()
            producer.start()
            producer.serve()
            before = len(load.acknowledged)
            load.wait_until(lambda load: len(load.acknowledged) >= before + 100)
        assert b"O1\n" == write(producer.socket, "a", "shared/last-login/imap/a", "1795387910161")
        assert 0 == producer.stop()

        assert len(load.acknowledged) < producer.said("stopped")[-1]["rows"]
        assert {b""} >= set(load.other_replies)
