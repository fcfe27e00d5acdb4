"""A client of the dict socket that speaks as Dovecot's plugin does: one connection a login."""

import socket
import time
from pathlib import Path

from tests.support.crowd import Crowd
from tests.support.ledger import Account, Ledger


# As Dovecot: it gives up after 30 s; a test has better things to do.
_TIMEOUT_S = 5.0
# From `write`: nothing was sent.
NOBODY_THERE = (ConnectionRefusedError, FileNotFoundError)


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


class Load(Crowd):
    """Logins of many users, as fast as answers come; remembers what was acknowledged.

    `acknowledged` is appended to only after the `O` was read: (user, login time in ms). `seconds` are the times
    from connect to the reply of each. `ledger` is told of every login and every answer.
    """

    def __init__(
        self, path: Path, prefix: str, threads: int = 4, pause_s: float = 0.0, ledger: Ledger | None = None
    ) -> None:
        super().__init__(threads, pause_s)
        self.path = path
        self.prefix = prefix
        self.ledger = ledger
        self.acknowledged: list[tuple[str, int]] = []
        self.seconds: list[float] = []
        self.other_replies: list[bytes] = []
        # Those that brought no reply line, and those of them that found no server.
        self.connect_failures = self.nobody_there = 0

    def __str__(self) -> str:
        """Say how far it has come."""
        return f"{len(self.acknowledged)} logins acknowledged"

    @property
    def account(self) -> Account:
        """What was promised, without a ledger: where every login was answered."""
        return Account(acked=frozenset(user for user, _ in self.acknowledged), unconfirmed=frozenset())

    def once(self, thread: int, number: int) -> None:
        """Log in."""
        user = f"{self.prefix}{thread}-{number}"
        login_at_ms = time.time_ns() // 1_000_000
        if self.ledger is not None:
            self.ledger.sent(user)
        begun = time.monotonic()
        try:
            reply = write(self.path, user, f"shared/last-login/imap/{user}", str(login_at_ms))
        except OSError as error:
            if self.ledger is not None and isinstance(error, NOBODY_THERE):
                self.ledger.refused(user)
            with self.lock:
                self.connect_failures += 1
                self.nobody_there += isinstance(error, NOBODY_THERE)
            self.pause(0.01)
            return
        took = time.monotonic() - begun
        if self.ledger is not None:
            self.ledger.answered(user, reply)
        with self.lock:
            if reply == b"O1\n":
                self.acknowledged.append((user, login_at_ms))
                self.seconds.append(took)
            else:
                self.other_replies.append(reply)
