"""The examples of Dovecot's last_login manual, and how each is judged: the demo shows what the tests assert."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lastlogin_stack.clients import imap_login, lmtp_deliver, pop3_login
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import Cell, EventReader, Record, StatsTable


# How long an event or a row may take before an example counts as failed. With defaults it takes a quarter second.
DEADLINE_S = 15.0
# Dovecot takes the time with a precision of milliseconds, rounding down.
_PRECISION = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Step:
    """One use of a mailbox by a real client, and what the row must say of it afterwards."""

    what: str
    user: str
    service: str
    act: Callable[[Layout], None]
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A numbered example: its steps in order. Rows of `bystanders` must not change."""

    number: str
    title: str
    steps: tuple[Step, ...]
    bystanders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step left behind. No `problems`: as the manual promises."""

    step: Step
    record: Record | None
    row: dict[str, Cell]
    seconds: float
    problems: tuple[str, ...]


def _imap(user: str, source: str, address: str | None = None, service: str = "imap") -> Step:
    what = f"IMAP login of {user} from {source}"
    return Step(what, user, service, lambda layout: imap_login(layout, user, source=source), address)


def _pop3(user: str, source: str, address: str | None = None) -> Step:
    what = f"POP3 login of {user} from {source}"
    return Step(what, user, "pop3", lambda layout: pop3_login(layout, user, source=source), address)


def _lmtp(sender: str, recipient: str) -> Step:
    what = f"LMTP delivery from {sender} to {recipient}"
    return Step(what, recipient, "lmtp", lambda layout: lmtp_deliver(layout, sender, recipient))


EXAMPLES = (
    Example("8.1", "an IMAP login is recorded", (_imap("test1", "127.0.0.21"),)),
    Example("8.2", "a POP3 login is recorded", (_pop3("test2", "127.0.0.21"),)),
    Example("8.3", "an LMTP delivery is recorded for its recipient alone", (_lmtp("test1", "test3"),), ("test1",)),
    Example(
        "8.4",
        "a POP3 login leaves the time of the IMAP login as it was",
        (_imap("test7", "127.0.0.21"), _pop3("test7", "127.0.0.21")),
    ),
    Example(
        "9.4.1",
        "an IMAP login is recorded with its address",
        (_imap("test4", "127.0.0.21", "127.0.0.21"),),
    ),
    Example(
        "9.4.2",
        "a POP3 login is recorded with its address",
        (_pop3("test5", "127.0.0.22", "127.0.0.22"),),
    ),
    Example(
        "webmail",
        "an IMAP login from the webmail host is recorded as webmail",
        (_imap("test2", "127.0.0.31", "127.0.0.31", "webmail"),),
    ),
)


def play(step: Step, layout: Layout, events: EventReader, table: StatsTable) -> StepResult:
    """Do one step for real, follow it to the topic and into the table, and compare.

    `seconds` are from the login's own time to the first sight of its row.
    """
    before = table.row(step.user)
    started = datetime.now(UTC) - _PRECISION
    step.act(layout)
    record = events.wait_for(
        lambda event: (
            (event.user, event.service) == (step.user, step.service)
            and _EPOCH + timedelta(microseconds=event.login_at_us) >= started
        ),
        DEADLINE_S,
    )
    if record is None:
        return StepResult(step, None, before, 0.0, (f"no event on the topic after {DEADLINE_S:g} s",))
    login_at_us = record.event.login_at_us
    row = table.wait_for(
        step.user,
        lambda row: step.service in row and row[step.service].time_written_us >= login_at_us,
        DEADLINE_S,
    )
    seconds = time.time() - login_at_us / 1e6
    return StepResult(step, record, row, seconds, tuple(_problems(step, record, before, row)))


def _problems(step: Step, record: Record, before: dict[str, Cell], row: dict[str, Cell]) -> list[str]:
    event = record.event
    if (cell := row.get(step.service)) is None:
        return [f"the row has no {step.service} time after {DEADLINE_S:g} s"]
    problems = []
    expected = _EPOCH + timedelta(milliseconds=event.login_at_us // 1000)
    if cell.time.replace(tzinfo=UTC) != expected:
        problems.append(f"the row says {cell.time}, the event {expected}")
    if cell.time_written_us != event.login_at_us:
        problems.append(f"WRITETIME is {cell.time_written_us}, the login was at {event.login_at_us}")
    if (event.remote_ip, cell.address) != (step.address, step.address):
        problems.append(f"address {step.address} expected, event has {event.remote_ip}, row {cell.address}")
    problems += [
        f"the {service} cell changed from {cell} to {row.get(service)}"
        for service, cell in before.items()
        if service != step.service and row.get(service) != cell
    ]
    return problems
