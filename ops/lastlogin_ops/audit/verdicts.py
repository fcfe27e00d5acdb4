"""A row against the events of its user and service. Pure."""

from enum import Enum
from typing import NamedTuple


class Known(NamedTuple):
    """The newest of some events of a user and service, and where it stands; compares as the table's cells do."""

    login_at_us: int
    address: bytes
    partition: int
    offset: int


class Row(NamedTuple):
    """What the table says of a user and service.

    `address` is no bytes where the cell has none; both are None where the table keeps no addresses, and
    `address_written_us` alone where no address was ever written.
    """

    time_ms: int
    written_us: int
    address: bytes | None
    address_written_us: int | None


class Case(NamedTuple):
    """What is known of a user and service: newest events and row, None where there is none."""

    user: bytes
    service: int
    due: Known | None
    pending: Known | None
    row: Row | None


class Verdict(Enum):
    """What a row is, or its lack. The values are the names in the report."""

    RIGHT = "right"
    PENDING = "pending"

    MISSING = "missing"
    OLDER = "older"
    WRITE_TIME = "write_time"
    ADDRESS = "address"
    NO_EVENT = "no_event"

    NEWER = "newer"
    BEFORE_EVENTS = "before_events"
    FOREIGN = "foreign"


# Each with its words for people.
WRONG = {
    Verdict.MISSING: "missing",
    Verdict.OLDER: "older than their newest event",
    Verdict.WRITE_TIME: "with another write time than the login's",
    Verdict.ADDRESS: "with another address than their event's",
    Verdict.NO_EVENT: "of which there is no event",
}
UNVERIFIABLE = {
    Verdict.NEWER: "newer than every event",
    Verdict.BEFORE_EVENTS: "older than the retained events",
    Verdict.FOREIGN: "not written by us",
}


def judge(due: Known | None, pending: Known | None, row: Row | None, begins_ms: int | None) -> Verdict:
    """Judge one row.

    `due` is the newest event that the consumer must have written, `pending` the newest of those that it may have
    written: what is not committed, and dead letters. Of logins from `begins_ms` on every event is retained; None: of
    none.
    """
    if row is None:
        return Verdict.PENDING if due is None else Verdict.MISSING
    newest = max((each for each in (due, pending) if each is not None), default=None)
    if newest is None:
        return _without_event(row, begins_ms)
    if due is not None and _compare(row, due) < 0:
        return Verdict.OLDER
    if _compare(row, newest) > 0:
        return Verdict.NEWER
    return Verdict.PENDING if newest is pending else _of_the_same_time(row, newest)


def _without_event(row: Row, begins_ms: int | None) -> Verdict:
    if begins_ms is None or row.time_ms < begins_ms:
        return Verdict.BEFORE_EVENTS
    return Verdict.NO_EVENT if _ours(row) else Verdict.FOREIGN


def _of_the_same_time(row: Row, event: Known) -> Verdict:
    if row.written_us != event.login_at_us:
        return Verdict.WRITE_TIME
    if row.address is not None and (row.address, row.address_written_us) != (event.address, event.login_at_us):
        return Verdict.ADDRESS
    return Verdict.RIGHT


def _ours(row: Row) -> bool:
    # Rows that Dovecot writes have the time of the write, which is later than that of the login.
    return row.written_us // 1000 == row.time_ms


def _compare(row: Row, event: Known) -> int:
    """Negative when the row shows an older login than the event's; microseconds count where they are known."""
    return row.written_us - event.login_at_us if _ours(row) else row.time_ms - event.login_at_us // 1000
