"""What Kafka, Cassandra, Dovecot and our own services have in common: start, answer, stop, and say why not."""

import errno
import os
import shutil
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lastlogin_stack.errors import NotReady, StackError
from lastlogin_stack.layout import LOOPBACK, PORT_VARIABLE, Layout, make_open_directory
from lastlogin_stack.process import DetachedProcess


POLL_S = 0.1
# One try to be answered; a server that starts either refuses at once or answers in milliseconds.
PROBE_TIMEOUT_S = 2.0
TAIL_LINES = 15
_UP = "up"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server as it is now: "down" (without a pid), "up", or what keeps it from being ready."""

    name: str
    endpoint: str
    pid: int | None
    state: str

    @property
    def is_up(self) -> bool:
        """Whether it answers."""
        return self.state == _UP


class Server(ABC):
    """One real server of a stack, restartable on the same data.

    A subclass says how it is prepared and started, on which ports it will listen, and what counts as an answer.
    """

    name: str
    address = LOOPBACK
    start_deadline_s = 60.0
    stop_deadline_s = 20.0

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.directory = layout.server_directory(self.name)
        self.process = DetachedProcess(layout.pid_file(self.name), layout.log_file(self.name))

    @property
    @abstractmethod
    def ports(self) -> tuple[int, ...]:
        """The TCP ports on `address` that it will listen on."""

    @property
    def endpoint(self) -> str:
        """Where its clients find it."""
        return f"{self.address}:{self.ports[0]}"

    @abstractmethod
    def prepare(self) -> None:
        """Write its configuration; create what it needs. Repeatable. Raises `StackError`."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the program and its arguments."""

    @abstractmethod
    def probe(self) -> None:
        """Ask it something; return when it has answered, raise `NotReady` or anything else when it has not."""

    def environ(self) -> Mapping[str, str]:
        """Return the environment of its process."""
        return os.environ

    def check(self) -> None:
        """Raise `StackError` when it cannot start: a tool is missing, or a port is taken by another program."""
        for port in self.ports:
            if not _is_free(self.address, port):
                raise StackError(
                    f"{self.name}: port {port} on {self.address} is taken by another program; "
                    f"choose other ports with {PORT_VARIABLE} (now {self.layout.base_port})"
                )

    def start(self) -> None:
        """Start it and return without waiting for it; nothing when it runs already. Raises `StackError`."""
        if self.process.pid() is not None:
            return
        self.layout.create()
        self.check()
        make_open_directory(self.directory)
        self.prepare()
        try:
            self.process.start(self.command(), cwd=self.directory, environ=self.environ())
        except OSError as error:
            raise StackError(f"{self.name}: cannot be started: {error}") from None

    def wait_ready(self, deadline_s: float | None = None) -> float:
        """Wait until it answers; return the seconds waited.

        Raises `StackError` with its last log lines at once when its process has ended, else after the deadline
        (default: `start_deadline_s`).
        """
        deadline_s = self.start_deadline_s if deadline_s is None else deadline_s
        begun = time.monotonic()
        while True:
            if self.process.pid() is None:
                code = self.process.exit_code
                raise self._failed("has ended" if code is None else f"has ended with exit code {code}")
            if self.answers():
                return time.monotonic() - begun
            if time.monotonic() - begun > deadline_s:
                raise self._failed(f"does not answer after {deadline_s:g} s")
            time.sleep(POLL_S)

    def answers(self) -> bool:
        """Return whether it answers a request now."""
        return self._state() == _UP

    def stop(self, deadline_s: float | None = None) -> bool:
        """SIGTERM, after the deadline SIGKILL; return whether it stopped by itself. Its data stays."""
        return self.process.stop(self.stop_deadline_s if deadline_s is None else deadline_s)

    def kill(self) -> None:
        """SIGKILL it and its children, as a crash of its host would; its data stays."""
        self.process.kill()

    def status(self) -> ServerStatus:
        """Look at its process, and when there is one, ask it something."""
        pid = self.process.pid()
        return ServerStatus(self.name, self.endpoint, pid, self._state() if pid is not None else "down")

    def log_tail(self, lines: int = TAIL_LINES) -> list[str]:
        """Return the last lines of its output since its last start."""
        return self.process.tail(lines)

    def _state(self) -> str:
        try:
            self.probe()
        except NotReady as reason:
            return f"not ready: {reason}"
        except Exception:  # noqa: BLE001 - whatever a client library raises, the answer is no
            return "does not answer"
        return _UP

    def _failed(self, what: str) -> StackError:
        tail = "\n".join(f"  {line}" for line in self.log_tail())
        return StackError(f"{self.name} {what}; the end of {self.process.log_file}:\n{tail or '  (empty)'}")


@dataclass(frozen=True, slots=True)
class Jvm:
    """How a Java server is run: heap (java's own notation) and collector and compiler flags."""

    heap: str
    # The first compiler only and one collector thread: the quickest start and the least memory.
    flags: tuple[str, ...] = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

    def arguments(self, temporary: Path) -> list[str]:
        """Return java's arguments; native libraries that it unpacks go to `temporary`, not to /tmp."""
        return [
            f"-Xms{self.heap}",
            f"-Xmx{self.heap}",
            *self.flags,
            "-XX:+ExitOnOutOfMemoryError",  # else it stays, and answers nobody
            "-XX:-UsePerfData",  # else each JVM leaves a file in /tmp after kill -9
            f"-Djava.io.tmpdir={temporary}",
        ]


def find_program(name: str, *places: str) -> str:
    """Return the path of a program on PATH or at one of `places`; raise `StackError` when it is nowhere."""
    path = shutil.which(name) or next((place for place in places if os.access(place, os.X_OK)), None)
    if path is None:
        raise StackError(f"{name} is not installed; deploy/local/setup installs what is missing")
    return path


def connects(address: str, port: int) -> None:
    """Raise OSError when nobody listens: a cheap first question before a client library is started."""
    with socket.create_connection((address, port), PROBE_TIMEOUT_S):
        pass


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do it: connections of an earlier run that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True
