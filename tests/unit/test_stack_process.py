"""A pid file names one process and no other."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lastlogin_stack.process import DetachedProcess, ProcessIdentity, decode_identity, identify, start_ticks


SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]
# Ignores SIGTERM, once it has said so.
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]
STAT = "4242 ({name}) {state} 1 4242 4242 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 {threads} 0 987654 1000 10"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[DetachedProcess]:
    """No process yet; whatever the test starts is gone afterwards."""
    process = DetachedProcess(tmp_path / "pid", tmp_path / "log")
    yield process
    process.kill()


def _start(process: DetachedProcess, command: list[str]) -> int:
    process.start(command, cwd=process.pid_file.parent, environ=os.environ)
    pid = process.pid()
    assert pid is not None
    return pid


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline


@pytest.mark.parametrize("name", ["java", "a b", "x) Z 1 (y"])
def test_start_time_in_stat(name: str) -> None:
    """The start time is found whatever the program is called."""
    assert 987654 == start_ticks(STAT.format(name=name, state="S", threads=1))


def test_zombie_has_ended() -> None:
    """A zombie counts as ended when its last thread has gone, not before: until then it holds its ports."""
    assert start_ticks(STAT.format(name="java", state="Z", threads=1)) is None
    assert 987654 == start_ticks(STAT.format(name="java", state="Z", threads=30))


def test_identity_round_trip() -> None:
    """What is written to a pid file is read back as it was."""
    identity = ProcessIdentity(4242, 987654, "5ec1f9a6-0000-4000-8000-000000000000")

    assert identity == decode_identity(identity.encode())


@pytest.mark.parametrize("text", ["", "4242", "4242 987654", "x 1 boot", "1 x boot", "-1 1 boot", "1 2 boot more"])
def test_damaged_pid_file(text: str) -> None:
    """A pid file that is not whole names no process."""
    assert decode_identity(text) is None


def test_found_again(process: DetachedProcess) -> None:
    """Another object on the same pid file finds the process, and stops it."""
    pid = _start(process, SLEEP)
    other = DetachedProcess(process.pid_file, process.log_file)

    assert pid == other.pid()
    assert other.stop(10)
    assert process.pid() is None
    assert -signal.SIGTERM == other.exit_code


def test_stranger_with_the_same_pid(process: DetachedProcess) -> None:
    """A pid that now belongs to another process is not ours: it is neither found nor stopped."""
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as stranger:
        try:
            identity = identify(stranger.pid)
            assert identity is not None
            earlier = ProcessIdentity(stranger.pid, identity.start_ticks - 1, identity.boot_id)
            process.pid_file.write_text(earlier.encode(), encoding="ascii")

            assert process.pid() is None
            assert process.stop(10)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_pid_of_an_earlier_boot(process: DetachedProcess) -> None:
    """A pid file from before a reboot names no process, even if pid and start time happen to agree."""
    mine = identify(os.getpid())
    assert mine is not None
    process.pid_file.write_text(ProcessIdentity(mine.pid, mine.start_ticks, "other-boot").encode(), encoding="ascii")

    assert process.pid() is None


def test_killed_after_the_deadline(process: DetachedProcess) -> None:
    """What does not end on SIGTERM is killed after the deadline, and the answer tells."""
    _start(process, STUBBORN)
    _wait_until(lambda: bool(process.tail(1)))

    assert not process.stop(0.2)
    assert process.pid() is None


def test_exit_code_of_a_quick_end(process: DetachedProcess) -> None:
    """The exit code of a program that ends at once is known, with its last words."""
    process.start(
        [sys.executable, "-c", "print('no such file'); raise SystemExit(7)"],
        cwd=process.pid_file.parent,
        environ=os.environ,
    )
    _wait_until(lambda: process.pid() is None)

    assert 7 == process.exit_code
    assert ["no such file"] == process.tail(5)


def test_log_of_the_last_start_only(process: DetachedProcess) -> None:
    """A log has one start; that of the start before is kept beside it."""
    for word in ("first", "second"):
        process.start([sys.executable, "-c", f"print('{word}')"], cwd=process.pid_file.parent, environ=os.environ)
        _wait_until(lambda: process.pid() is None)

    assert ["second"] == process.tail(5)
    assert "first\n" == process.log_file.with_name("log.1").read_text(encoding="ascii")
