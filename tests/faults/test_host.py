"""Case 8: what Dovecot's own imap process, and the person at it, notice of a producer that stands still."""

import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.activation import ActivatedProducer
from tests.support.dict_client import write
from tests.support.imap import configuration
from tests.support.producer import ProducerProcess


IMAP = "/usr/lib/dovecot/imap"
# What a person notices; and how long Dovecot's dict client waits for a reply, with what the process needs to end.
GREETING_S, END_S = 0.05, 31.0
PROCESSES = 9


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short name that the mail user may enter."""
    directory = Path(tempfile.mkdtemp(prefix="ll-", dir="/var/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def conf(place: Path) -> Path:
    """A dovecot.conf for single processes."""
    return configuration(place, place / "dict.sock")


@dataclass
class Login:
    """An imap process that was greeted and sent away, and may still wait for the dict."""

    process: subprocess.Popen[bytes]
    begun: float
    bye_s: float

    def end(self) -> tuple[float, int, str]:
        """Wait for its end: seconds since its start, exit code, what it complained of."""
        _, complaints = self.process.communicate(timeout=2 * END_S)
        errors = [line for line in complaints.decode().splitlines() if ": Info: " not in line]
        return time.monotonic() - self.begun, self.process.returncode, "\n".join(errors)


def log_in(conf: Path, user: str) -> Login:
    """Start imap, log out at once, and read up to its BYE."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [IMAP, "-c", conf],
        env={"USER": user, "PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"a logout\r\n")
    process.stdin.flush()
    greeting, bye = process.stdout.readline(), process.stdout.readline()
    assert (b"* PREAUTH", b"* BYE") == (greeting[:9], bye[:5])
    return Login(process, begun, time.monotonic() - begun)


def test_a_producer_that_stands_still(place: Path, conf: Path) -> None:
    """Stopped (SIGSTOP), it delays neither greeting nor BYE; imap gives up after 30 s and says so; then all is well."""
    with ProducerProcess(place) as producer:
        producer.serve()
        producer.socket.chmod(0o666)
        assert (0, "") == log_in(conf, "before").end()[1:]
        os.kill(producer.pid, signal.SIGSTOP)
        try:
            stalled = [log_in(conf, f"stalled-{number}") for number in range(PROCESSES)]
            ended = [login.end() for login in stalled]
        finally:
            os.kill(producer.pid, signal.SIGCONT)

        assert statistics.median(login.bye_s for login in stalled) < GREETING_S
        for took, code, complaints in ended:
            assert 29 < took < END_S
            assert 0 == code
            assert "unconfirmed" in complaints
        took, code, complaints = log_in(conf, "after").end()
        assert (0, "") == (code, complaints)
        assert took < 1
        assert b"O1\n" == write(producer.socket, "a", "shared/last-login/imap/a", "1795387910161")
        # Who had given up by then was told that nobody knows; it was stored nevertheless.
        assert 0 == producer.stop()
        assert PROCESSES + 3 == producer.said("stopped")[0]["rows"]


def test_a_start_that_hangs(place: Path) -> None:
    """Logins that wait for a start that does not end are turned away after 10 s, and later ones at once."""
    # Reading it blocks until somebody writes, as a disk that hangs does.
    os.mkfifo(place / "password")
    with ActivatedProducer(place, KAFKA__SASL_PASSWORD_FILE=str(place / "password")) as producer:
        waited = []
        for _ in range(2):
            begun = time.monotonic()
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(str(producer.socket))
                assert b"" == client.recv(10)
            waited.append(time.monotonic() - begun)

    assert 9 < waited[0] < 12
    assert waited[1] < 1
