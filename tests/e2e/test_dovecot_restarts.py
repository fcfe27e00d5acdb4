"""Dovecot stopped, started and reloaded while mail clients log in without pause."""

import imaplib
import time

import pytest

from lastlogin_stack.clients import imap_session
from lastlogin_stack.dovecot import DovecotOptions, MailUser
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import Cell, StatsTable
from tests.support.crowd import Crowd
from tests.support.servers import Running


USERS = [f"restart-{number}" for number in range(5_000)]


@pytest.fixture
def dovecot_options() -> DovecotOptions:
    """So many users that each logs in once: a later login would hide that an earlier one was lost."""
    return DovecotOptions(users=tuple(MailUser(user) for user in USERS))


class Clients(Crowd):
    """Users of `USERS` who log in over IMAP, one after the other; a login that failed is another user's turn.

    `accepted` are those to whom Dovecot has said OK: (user, microseconds since 1970 when the client began).
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(threads=4, pause_s=0.0)
        self._layout = layout
        self._users = iter(USERS)
        self.accepted: list[tuple[str, int]] = []
        self.failures: list[Exception] = []

    def __str__(self) -> str:
        """Say how far it has come."""
        return f"{len(self.accepted)} logins accepted, {len(self.failures)} not"

    def once(self, thread: int, number: int) -> None:
        """Log in, and out."""
        with self.lock:
            user = next(self._users)
        begun_us = time.time_ns() // 1_000
        try:
            with imap_session(self._layout, user), self.lock:
                self.accepted.append((user, begun_us))
        except (OSError, imaplib.IMAP4.error) as failure:
            with self.lock:
                self.failures.append(failure)
            self.pause(0.01)


def _is_connection_error(failure: Exception) -> bool:
    """Tell whether the client saw its connection end, rather than a login refused.

    A greeting that is BYE comes from imaplib as the plain `error` of a refused login too; its text is the greeting.
    """
    return isinstance(failure, OSError | imaplib.IMAP4.abort) or str(failure).startswith("b'* BYE ")


def _is_recorded(table: StatsTable, user: str, begun_us: int) -> bool:
    """Wait for a login in the row that is no older than the client's; tell whether it came."""

    def wanted(row: dict[str, Cell]) -> bool:
        # Dovecot's time is in whole milliseconds.
        return "imap" in row and row["imap"].time_written_us >= begun_us // 1_000 * 1_000

    return wanted(table.wait_for(user, wanted, 15))


def test_dovecot_restarted_under_load(pipeline: Layout, table: StatsTable, servers: Running) -> None:
    """Whoever was let in is in the table; whoever was not had a connection error; the producer lost nothing."""
    dovecot, producer = servers.dovecot, servers.producer.process.pid()
    with Clients(pipeline) as clients:
        # A stop takes 5 s: login processes that have just started wait so long for one that has ended before them.
        for interrupt in (dovecot.reload, dovecot.stop, dovecot.reload):
            seen = len(clients.accepted)
            clients.wait_until(lambda clients, seen=seen: len(clients.accepted) >= seen + 50)  # type: ignore[misc]
            interrupt()
            servers.ensure()
        seen = len(clients.accepted)
        clients.wait_until(lambda clients: len(clients.accepted) >= seen + 50)

    missing = [login for login in clients.accepted if not _is_recorded(table, *login)]

    assert [] == missing
    assert clients.failures
    assert [] == [failure for failure in clients.failures if not _is_connection_error(failure)]
    assert producer == servers.producer.process.pid()
    assert {} == servers.holes()
