"""What all connections of a dict server have in common."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, get_args

import structlog

from lastlogin_producer.dictproto import (
    VIOLATION_REASONS,
    CommittedWrite,
    Limits,
    RefusalReason,
    ViolationReason,
    WholeLogins,
)
from lastlogin_producer.events import EventRules
from lastlogin_producer.outcome import Outcome
from lastlogin_producer.rules import Dropped, DropReason
from lastlogin_schemas.event import LoginEvent, RawWrite
from lastlogin_schemas.table import SERVICES
from lastlogin_service.histogram import Histogram
from lastlogin_service.logs import Occasionally


_log = structlog.get_logger(__name__)

_REPEAT_LOG_S = 30.0

# struct ucred: pid, uid, gid
_UCRED = struct.Struct("iII")

# Why we closed a connection, beside violations of the protocol: more of them than allowed, or more held by them; a user
# who is not; too slow with a line, with the next command, with reading replies.
OwnCloseReason = Literal["too_many", "peer_not_allowed", "slow_line", "idle", "not_reading"]
CloseReason: TypeAlias = ViolationReason | OwnCloseReason
CLOSE_REASONS: tuple[CloseReason, ...] = (*VIOLATION_REASONS, *get_args(OwnCloseReason))

# Logins of a service that neither the delivered table nor the settings name: any client may invent one.
OTHER_SERVICE = "other"
# A series each, also of those that were in the settings before a reload.
_MOST_SERVICES = 100

# Half of the logins are answered within 1 ms, after one fsync; a mail user notices 0.1 s; `commit_s` ends at 2 s.
REPLY_BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


class Spool(Protocol):
    """Where messages are kept, as the server sees it."""

    def append(self, message: LoginEvent | RawWrite, done: Callable[[Outcome], None]) -> None:
        """Store `message`; call `done` with what became of it: once, later, in the event loop. Never blocks."""


class Connection(Protocol):
    """One client's connection, as the server sees it."""

    @property
    def unanswered(self) -> int:
        """Commits whose client waits for the reply."""

    def check(self, now: float) -> None:
        """Answer or close what has waited too long; `now` in seconds of the server's monotonic clock."""

    def end(self) -> None:
        """Take nothing more, and close once nothing is owed."""

    def end_if_quiet(self) -> None:
        """Close a connection that is between two logins. One that has not brought any is about to."""

    def abort(self) -> None:
        """Close at once."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What clients may take of our time and room."""

    # A login holds its connection for a millisecond; so many at once are a flood, or a disk that stands still.
    # One more is closed at once: the login goes on, only its record is lost.
    connections: int = 4_096
    # Of input that is not acted on, all connections together: transactions and lines without end, input behind replies
    # that have not left. A login that comes whole has none. The unit's MemoryMax counts it; whoever goes over it is
    # closed.
    held_bytes: int = 134_217_728
    # LMTP's reply to the sender waits for ours, once per recipient.
    commit_s: float = 2.0
    # From connecting, or from the beginning of a line, to the line's end; Dovecot writes whole lines at once.
    line_s: float = 5.0
    # Nobody who has left replies unread for so long is going to read them.
    unread_s: float = 10.0
    # Dovecot 2.4 may keep a connection for its next command, and makes a new one when it finds it closed.
    idle_s: float = 60.0
    # How often all of these are looked after, and so how late a limit may be kept; not so with `commit_s`.
    sweep_s: float = 0.25
    connection: Limits = field(default_factory=Limits)


@dataclass(slots=True)
class ServerStats:
    """Counts since the start; every key is of a closed set."""

    accepted: int = 0
    closed: Counter[CloseReason] = field(default_factory=Counter)
    refused: Counter[RefusalReason] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    dropped: Counter[DropReason] = field(default_factory=Counter)
    # Logins that were answered as stored, by service.
    logins: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*SERVICES, OTHER_SERVICE), 0))
    # How often the socket file was found missing or replaced.
    misplaced: int = 0
    # From reading a commit to writing its reply, by what the reply said.
    reply_seconds: dict[Outcome, Histogram] = field(
        default_factory=lambda: {outcome: Histogram(REPLY_BOUNDS_S) for outcome in Outcome}
    )

    def tell_apart(self, services: Iterable[str]) -> None:
        """Count logins of these services by their names from now on."""
        for service in services:
            if len(self.logins) < _MOST_SERVICES:
                self.logins.setdefault(service, 0)

    def answered(self, service: str | None, outcome: Outcome, seconds: float) -> None:
        """Count a commit that was answered; `service` is None unless the spool was given a login."""
        self.reply_seconds[outcome].observe(seconds)
        if service is not None and outcome is Outcome.STORED:
            self.logins[service if service in self.logins else OTHER_SERVICE] += 1


class Shared:
    """A server's rules, limits and counts, and its open connections."""

    def __init__(
        self,
        rules: EventRules,
        spool: Spool,
        limits: ServerLimits,
        *,
        allowed_uids: frozenset[int] | None,
        monotonic: Callable[[], float],
        now_us: Callable[[], int],
    ) -> None:
        self.limits = limits
        self.monotonic = monotonic
        self.stats = ServerStats()
        self.connections: set[Connection] = set()
        self._held_bytes = 0
        # Connections end where they can; `empty` is set when the last one has.
        self.draining = False
        self.empty = asyncio.Event()
        # Users who may be clients; None: all whom the file lets in.
        self._allowed_uids = allowed_uids
        self._spool = spool
        self._now_us = now_us
        self._occasionally = Occasionally(_REPEAT_LOG_S)
        self.use(rules)

    def use(self, rules: EventRules) -> None:
        """Read writes by these rules from now on; connections that come may ask for their dicts."""
        self.dict_names: Mapping[bytes, str] = {name.encode(): name for name in rules.dict_names}
        self.whole = WholeLogins(self.dict_names, self.limits.connection.sets)
        self.stats.tell_apart(rules.services)
        self._rules = rules

    def store(self, write: CommittedWrite, done: Callable[[Outcome], None]) -> str | None:
        """Have the spool keep what `write` means, and call `done` once: later, in the event loop.

        Returns the login's service; None when it is no login, or one that a rule drops.
        """
        message = self._rules.interpret(write, self._now_us())
        if isinstance(message, Dropped):
            self.stats.dropped[message.by] += 1
            asyncio.get_running_loop().call_soon(done, Outcome.STORED)
            return None
        service = None
        if isinstance(message, LoginEvent):
            service = message.service
        else:
            self.stats.quarantined[message.reason] += 1
            self.warn(
                "write_quarantined",
                message.reason,
                f"A write is no login: {message.detail}",
                # With this `lastlogin quarantine` finds it: it has no number yet.
                received_at_us=message.received_at_us,
            )
        self._spool.append(message, done)
        return service

    def give_up(self) -> None:
        """Tell of a commit that is answered although the spool has not."""
        self.warn("spool_late", "commit_s", f"The spool did not answer a commit within {self.limits.commit_s:g} s")

    def turns_away(self, client: socket.SocketType) -> bool:
        """Whether not to talk to who has connected: there are too many, or it is a user who may not; counted."""
        if len(self.connections) >= self.limits.connections:
            self.close("too_many", f"More than {self.limits.connections} connections; closing the newest")
        elif self._allowed_uids is None or _uid_of(client) in self._allowed_uids:
            return False
        else:
            self.close("peer_not_allowed", "A user connected who is not in socket.allowed_users; closing it")
        return True

    def hold(self, more: int) -> bool:
        """Count what a connection holds beyond what it has told before; False: too much with all others'."""
        self._held_bytes += more
        return self._held_bytes <= self.limits.held_bytes

    def close(self, reason: CloseReason, sentence: str) -> None:
        """Count a connection that we close."""
        self.stats.closed[reason] += 1
        self.warn("dict_connection_closed", reason, sentence)

    def forget(self, connection: Connection) -> None:
        """Take a connection out that has ended, or goes on as another."""
        self.connections.discard(connection)
        if self.draining and not self.connections:
            self.empty.set()

    def warn(self, action: str, reason: str, sentence: str, **context: object) -> None:
        """Log `sentence`, now and then."""
        suppressed = self._occasionally.suppressed((action, reason))
        if suppressed is not None:
            _log.warning(sentence, action=action, reason=reason, suppressed=suppressed, **context)


def _uid_of(client: socket.SocketType) -> int:
    """Who it was at the moment of connecting, SO_PEERCRED in unix(7)."""
    uid: int = _UCRED.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[1]
    return uid
