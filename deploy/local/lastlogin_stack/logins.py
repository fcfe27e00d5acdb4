"""Users who log in all the time."""

import imaplib
import poplib
import time
from collections.abc import Sequence
from itertools import cycle
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

from lastlogin_stack.clients import imap_login, pop3_login
from lastlogin_stack.errors import StackError
from lastlogin_stack.layout import Layout


# Together some 50 logins a second; the machine has other things to do, too.
_THREADS = 3
_PAUSE_S = 0.03
_DEADLINE_S = 60.0
_POLL_S = 0.1


class Logins:
    """Real clients of Dovecot, over IMAP and POP3 in turn, until the `with` block ends.

    Dovecot lets users in also while nobody takes their last login: of those no message was ever acknowledged.
    """

    def __init__(self, layout: Layout, users: Sequence[str]) -> None:
        self._layout = layout
        self._users = users
        self._ended = Event()
        self._lock = Lock()
        self._threads = [Thread(target=self._log_in, args=(number,)) for number in range(_THREADS)]
        # When each of them that got in began, and the seconds until it was logged out again.
        self.took: list[tuple[float, float]] = []
        self.failed = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    @property
    def count(self) -> int:
        """How many have got in."""
        return len(self.took)

    def wait_for(self, more: int) -> None:
        """Wait for so many more. Raises `StackError`."""
        end, deadline = self.count + more, time.monotonic() + _DEADLINE_S
        while self.count < end:
            if time.monotonic() > deadline:
                raise StackError(f"dovecot: no {more} logins within {_DEADLINE_S:g} s")
            time.sleep(_POLL_S)

    def _log_in(self, number: int) -> None:
        own = self._users[number :: len(self._threads)]
        for user, log_in in zip(cycle(own), cycle((*[imap_login] * len(own), *[pop3_login] * len(own)))):
            if self._ended.wait(_PAUSE_S):
                return
            began, begun = time.time(), time.monotonic()
            try:
                log_in(self._layout, user)
            except (imaplib.IMAP4.error, poplib.error_proto, OSError):
                with self._lock:
                    self.failed += 1
            else:
                with self._lock:
                    self.took.append((began, time.monotonic() - begun))
