"""What was promised to clients, on disk, so that it can be held against what became of it."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self


_SENT, _ACKED, _REFUSED = b"sent", b"acked", b"refused"


@dataclass(frozen=True, slots=True)
class Account:
    """Users whose login was acknowledged, and those of whose login nobody knows (no reply, or `W`).

    Each login has a user of its own. A refused login (`F`) is in neither: it was not stored and never will be.
    """

    acked: frozenset[str]
    unconfirmed: frozenset[str]


class Ledger:
    """A file with a line for each login sent, and one for each answer; lines may come from many threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def sent(self, user: str) -> None:
        """Call before anything goes to the server: what arrives and was never sent is invented."""
        self._write(_SENT, user)

    def acked(self, user: str) -> None:
        """Call after the `O` was read; the line is on disk when this returns."""
        self._write(_ACKED, user)
        os.fdatasync(self._file)

    def refused(self, user: str) -> None:
        """Call after an `F` was read."""
        self._write(_REFUSED, user)

    def answered(self, user: str, reply: bytes) -> None:
        """Call with the reply to a commit; any other than `O` and `F` leaves the login unconfirmed."""
        if reply == b"O1\n":
            self.acked(user)
        elif reply.startswith(b"F"):
            self.refused(user)

    def account(self) -> Account:
        """Read it back. Raises ValueError for an answer to a login that was not sent, and for a user sent twice."""
        users: dict[bytes, set[str]] = {_SENT: set(), _ACKED: set(), _REFUSED: set()}
        for line in self._path.read_bytes().splitlines():
            what, _, name = line.partition(b" ")
            user = name.decode("utf-8", "surrogateescape")
            if user in users[what] or (what != _SENT and user not in users[_SENT]):
                message = f"not a login of its own: {line!r}"
                raise ValueError(message)
            users[what].add(user)
        acked = frozenset(users[_ACKED])
        return Account(acked, frozenset(users[_SENT]) - acked - users[_REFUSED])

    def _write(self, what: bytes, user: str) -> None:
        line = b"%b %b\n" % (what, user.encode("utf-8", "surrogateescape"))
        with self._lock:
            os.write(self._file, line)
