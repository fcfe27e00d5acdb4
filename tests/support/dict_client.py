"""A client of the dict socket that speaks as Dovecot's plugin does: one connection a login."""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


# As Dovecot: it gives up after 30 s; a test has better things to do.
_TIMEOUT_S = 5.0


def write(path: Path, user: str, key: str, value: str, *, major: int = 3) -> bytes:
    """Send one transaction and return the reply line; empty when the server closed without one.

    `user` and `key` must hold nothing that needs escaping. Raises OSError when there is no server.
    """
    begin = f"B1\t{user}\t0" if major == 4 else f"B1\t{user}"
    lines = f"H{major}\t{0 if major == 4 else 2}\t0\t\tstatsdb\n{begin}\nS1\t{key}\t{value}\nC1\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_TIMEOUT_S)
        connection.connect(str(path))
        connection.sendall(lines.encode())
        return connection.makefile("rb").readline()


@dataclass
class Load:
    """Logins of many users, as fast as answers come, until stopped; remembers what was acknowledged.

    `acknowledged` is appended to only after the `O` was read: (user, login time in ms). `seconds` are the times
    from connect to the reply of each.
    """

    path: Path
    prefix: str
    threads: int = 4
    pause_s: float = 0.0
    acknowledged: list[tuple[str, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    other_replies: list[bytes] = field(default_factory=list)
    connect_failures: int = 0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._pool = [threading.Thread(target=self._run, args=(n,)) for n in range(self.threads)]

    def __enter__(self) -> Self:
        for thread in self._pool:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._pool:
            thread.join()

    def wait_until(self, condition: Callable[["Load"], bool], deadline_s: float = 30.0) -> None:
        """Block until the load has come so far. Raises TimeoutError."""
        deadline = time.monotonic() + deadline_s
        while not condition(self):
            if time.monotonic() > deadline:
                message = f"{len(self.acknowledged)} logins acknowledged within {deadline_s:g} s"
                raise TimeoutError(message)
            self._stop.wait(0.01)

    def _run(self, thread: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            user = f"{self.prefix}{thread}-{number}"
            login_at_ms = time.time_ns() // 1_000_000
            begun = time.monotonic()
            try:
                reply = write(self.path, user, f"shared/last-login/imap/{user}", str(login_at_ms))
            except OSError:
                with self._lock:
                    self.connect_failures += 1
                self._stop.wait(0.01)
                continue
            took = time.monotonic() - begun
            with self._lock:
                if reply == b"O1\n":
                    self.acknowledged.append((user, login_at_ms))
                    self.seconds.append(took)
                else:
                    self.other_replies.append(reply)
            self._stop.wait(self.pause_s)
