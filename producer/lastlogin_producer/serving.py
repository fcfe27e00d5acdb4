"""What all connections of a dict server have in common."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args

import structlog

from lastlogin_producer.dictproto import VIOLATION_REASONS, Limits, RefusalReason, ViolationReason
from lastlogin_producer.events import EventRules
from lastlogin_producer.outcome import Outcome
from lastlogin_schemas.event import LoginEvent, RawWrite
from lastlogin_service.histogram import Histogram
from lastlogin_service.logs import Occasionally


if TYPE_CHECKING:
    from lastlogin_producer.conversation import Conversation


_log = structlog.get_logger(__name__)

_REPEAT_LOG_S = 30.0

# Why we closed a connection, beside violations of the protocol: more of them than allowed; too slow with a line,
# with the next command, with reading replies.
OwnCloseReason = Literal["too_many", "slow_line", "idle", "not_reading"]
CloseReason: TypeAlias = ViolationReason | OwnCloseReason
CLOSE_REASONS: tuple[CloseReason, ...] = (*VIOLATION_REASONS, *get_args(OwnCloseReason))


# Half of the logins are answered within 1 ms, after one fsync; a mail user notices 0.1 s; `commit_s` ends at 2 s.
REPLY_BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


class Spool(Protocol):
    """Where messages are kept, as the server sees it."""

    def append(self, message: LoginEvent | RawWrite, done: Callable[[Outcome], None]) -> None:
        """Store `message`; call `done` with what became of it: once, later, in the event loop. Never blocks."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What clients may take of our time and room."""

    # A login holds its connection for a millisecond; so many at once are a flood, or a disk that stands still.
    # One more is closed at once: the login goes on, only its record is lost.
    connections: int = 4_096
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
    # Answered as unconfirmed because the spool took too long; its word, when it came, is not counted.
    late: int = 0
    # From reading a commit to writing its reply, by what the reply said.
    reply_seconds: dict[Outcome, Histogram] = field(
        default_factory=lambda: {outcome: Histogram(REPLY_BOUNDS_S) for outcome in Outcome}
    )


@dataclass(slots=True)
class Shared:
    """A server's rules, limits and counts, and its open connections."""

    dict_names: Mapping[bytes, str]
    rules: EventRules
    spool: Spool
    limits: ServerLimits
    monotonic: Callable[[], float]
    now_us: Callable[[], int]
    stats: ServerStats = field(default_factory=ServerStats)
    conversations: "set[Conversation]" = field(default_factory=set)
    # Connections end where they can; `empty` is set when the last one has.
    draining: bool = False
    empty: asyncio.Event = field(default_factory=asyncio.Event)
    occasionally: Occasionally = field(default_factory=lambda: Occasionally(_REPEAT_LOG_S))

    def warn(self, action: str, reason: str, sentence: str) -> None:
        """Log `sentence`, now and then."""
        held_back = self.occasionally.suppressed((action, reason))
        if held_back is not None:
            _log.warning(sentence, action=action, reason=reason, held_back=held_back)
