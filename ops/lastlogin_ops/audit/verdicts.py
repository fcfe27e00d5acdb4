"""A row against the events of its user and service. Pure."""

from enum import Enum
from typing import NamedTuple


# What became of an event: the consumer must have written it, or may have (it is not committed, or was set aside), or
# Cassandra has refused it.
DUE, PENDING, REFUSED = range(3)


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
    refused: Known | None
    row: Row | None


class Verdict(Enum):
    """What a row is, or its lack. The values are the names in the report."""

    RIGHT = "right"
    PENDING = "pending"
    EXPIRED = "expired"

    MISSING = "missing"
    OLDER = "older"
    WRITE_TIME = "write_time"
    ADDRESS = "address"
    NO_EVENT = "no_event"

    NEWER = "newer"
    BEFORE_EVENTS = "before_events"
    FOREIGN = "foreign"
    REFUSED = "refused"


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
    Verdict.REFUSED: "of users of whom Cassandra refused a newer login",
}


def judge(case: Case, begins_ms: int | None, forgotten_us: int | None = None) -> Verdict:
    """Judge one row.

    Of logins from `begins_ms` on every event is retained; None: of none. Cassandra may have forgotten logins before
    `forgotten_us`; None: it forgets none.
    """
    _, _, due, pending, refused, row = case
    newest = max((each for each in (due, pending, refused) if each is not None), default=None)
    if newest is None:
        # There would be no case without a row.
        return _without_event(row, begins_ms) if row is not None else Verdict.PENDING
    if forgotten_us is not None:
        if newest.login_at_us < forgotten_us:
            return Verdict.EXPIRED
        if due is not None and due.login_at_us < forgotten_us:
            due = None
    if row is None or (due is not None and _compare(row, due) < 0):
        return _behind(due, refused, row)
    if _compare(row, newest) > 0:
        # A consumer that writes a later time than the login's is to be seen.
        return Verdict.NO_EVENT if _without_event(row, begins_ms) is Verdict.NO_EVENT else Verdict.NEWER
    return _of_the_same_time(row, newest) if newest is due else Verdict.PENDING


def _behind(due: Known | None, refused: Known | None, row: Row | None) -> Verdict:
    if due is None:
        return Verdict.PENDING
    if refused is not None and refused > due:
        # The consumer may have merged it into the one that was refused, and then never tried it by itself.
        return Verdict.REFUSED
    return Verdict.MISSING if row is None else Verdict.OLDER


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
