"""One of our services as a process of its own, with settings from the environment and a log of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import urlopen


POLL_S = 0.01


def wait_until(condition: Callable[[], bool], deadline_s: float = 30.0) -> None:
    """Wait until `condition` holds. Raises TimeoutError."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(POLL_S)


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def halted(pid: int) -> Iterator[None]:
    """SIGSTOP a process while the block runs: it is alive, its connections stand, and it does nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def children(pid: int) -> list[int]:
    """Processes that it has started and that have not ended."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def shared_once_bytes(*pids: int) -> int:
    """Memory that processes hold together, what they share counted once: `Pss` of proc_pid_smaps(5), added up."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()]
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def peak_memory_bytes(*pids: int) -> int:
    """No less than the most memory that processes have ever held together: their peaks, less what they share now."""
    shared = sum(memory_bytes(pid, "VmRSS") for pid in pids) - shared_once_bytes(*pids)
    return sum(memory_bytes(pid, "VmHWM") for pid in pids) - shared


def memory_bytes(pid: int, name: str) -> int:
    """Memory of a process: `VmRSS` now, `VmHWM` the most ever."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(name))) * 1024


class ServiceProcess:
    """An installed service; ends with the `with` block, whatever happened.

    `settings` are variables without the service's prefix; those of this process's environment do not reach it.
    """

    def __init__(self, script: str, log: Path, settings: Mapping[str, str], arguments: Sequence[str] = ()) -> None:
        # Where the script is; a test may name the environment of another installation.
        self.scripts = Path(sys.executable).parent
        # What starts the script, and descriptors that both are given.
        self.starter: list[str] = []
        self.descriptors: tuple[int, ...] = ()
        self._command = (script, *arguments)
        self._log = log
        prefix = script.replace("-", "_").upper() + "_"
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith(prefix)}
        self._environ |= {prefix + name: value for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, once more after it has ended."""
        self._starts += 1
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.starter, self.scripts / self._command[0], *self._command[1:]],
                env=self._environ,
                stdout=log,
                stderr=log,
                pass_fds=self.descriptors,
            )

    def environ(self, **variables: str) -> None:
        """Give it variables that are not its settings, from the next start on."""
        self._environ |= variables

    def kill(self) -> None:
        """SIGKILL it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, deadline_s: float = 20.0) -> int:
        """SIGTERM it, and return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(deadline_s)

    def wait(self, deadline_s: float = 20.0) -> int:
        """Wait until it ends, and return its exit code."""
        assert self._process is not None
        return self._process.wait(deadline_s)

    def output(self) -> str:
        """Everything it has written to standard output and standard error."""
        return self._log.read_text("utf-8")

    def said(self, action: str) -> list[dict[str, Any]]:
        """Its log lines with this `action`."""
        lines = (json.loads(line) for line in self.output().splitlines() if line.startswith("{") and line[-1] == "}")
        return [line for line in lines if line.get("action") == action]

    def wait_until(self, condition: Callable[[], bool], deadline_s: float = 30.0) -> None:
        """Wait until `condition` holds. Raises TimeoutError with what the process has said."""
        try:
            wait_until(condition, deadline_s)
        except TimeoutError:
            raise TimeoutError(self.output()[-4000:]) from None

    def wait_for(self, action: str, count: int = 1, deadline_s: float = 30.0) -> list[dict[str, Any]]:
        """Wait until it has said `action` so many times; return those lines. Raises TimeoutError as `wait_until`."""
        self.wait_until(lambda: len(self.said(action)) >= count, deadline_s)
        return self.said(action)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of its endpoint. Raises OSError when nobody answers."""
        port = self.wait_for("metrics_listening", self._starts)[-1]["port"]
        try:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def reasons(self) -> list[str]:
        """Why it is not ready; nothing when it is."""
        return list(json.loads(self.get("/readyz")[1]).get("reasons", ()))
