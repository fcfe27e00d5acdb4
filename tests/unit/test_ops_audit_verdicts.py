"""A row of the table against the events of its user and service."""

import pytest

from lastlogin_ops.audit.verdicts import UNVERIFIABLE, WRONG, Case, Known, Row, Verdict, judge


AT_US = 1_700_000_000_161_002
AT_MS = AT_US // 1000
ADDRESS, OTHER = b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02"
DUE = Known(AT_US, ADDRESS, 0, 7)
RIGHT = Row(AT_MS, AT_US, ADDRESS, AT_US)


CASE = Case(b"test1", 0, None, None, None, None)


def later(us: int, address: bytes = ADDRESS) -> Known:
    """An event so much later than DUE."""
    return Known(AT_US + us, address, 0, 9)


def row(us: int) -> Row:
    """The row of such an event."""
    return Row((AT_US + us) // 1000, AT_US + us, ADDRESS, AT_US + us)


@pytest.mark.parametrize(
    ("due", "shown", "verdict"),
    [
        (DUE, RIGHT, Verdict.RIGHT),
        (DUE._replace(address=b""), RIGHT._replace(address=b""), Verdict.RIGHT),
        (DUE, Row(AT_MS, AT_US, None, None), Verdict.RIGHT),  # a table without addresses
        (DUE, None, Verdict.MISSING),
        (DUE, row(-1), Verdict.OLDER),
        (DUE, row(-5_000), Verdict.OLDER),
        (
            DUE,
            Row(AT_MS - 1, AT_US + 9_000_000, ADDRESS, AT_US + 9_000_000),
            Verdict.OLDER,
        ),  # an older login, written later
        (DUE, Row(AT_MS, AT_US + 9_000_000, ADDRESS, AT_US + 9_000_000), Verdict.WRITE_TIME),
        (DUE, RIGHT._replace(address=OTHER), Verdict.ADDRESS),
        (DUE, RIGHT._replace(address=b""), Verdict.ADDRESS),
        (DUE, RIGHT._replace(address=b"", address_written_us=None), Verdict.ADDRESS),
        (DUE, RIGHT._replace(address_written_us=AT_US + 1), Verdict.ADDRESS),
        (DUE, row(1), Verdict.NO_EVENT),
        (DUE, Row(AT_MS + 1, AT_US + 9_000_000, ADDRESS, AT_US + 9_000_000), Verdict.NEWER),
    ],
)
def test_rows_of_events_that_are_due(due: Known, shown: Row | None, verdict: Verdict) -> None:
    """The row must equal the newest event in time, write time and address."""
    assert verdict is judge(CASE._replace(due=due, row=shown), 0)


@pytest.mark.parametrize(
    ("due", "pending", "shown", "verdict"),
    [
        (None, later(5_000), None, Verdict.PENDING),
        (None, later(5_000), row(5_000), Verdict.PENDING),
        (None, later(5_000), row(0), Verdict.PENDING),  # an event that is not retained any more
        (DUE, later(5_000), RIGHT, Verdict.PENDING),
        (DUE, later(5_000), row(5_000), Verdict.PENDING),
        (DUE, later(5_000), row(6_000), Verdict.NO_EVENT),
        (DUE, later(5_000), row(-1), Verdict.OLDER),
        (DUE, later(5_000), None, Verdict.MISSING),
        (DUE, later(0, OTHER), RIGHT, Verdict.PENDING),
        # An older login that comes later changes nothing.
        (DUE, later(-5_000), RIGHT, Verdict.RIGHT),
        (DUE, later(-5_000), RIGHT._replace(address=OTHER), Verdict.ADDRESS),
    ],
)
def test_rows_of_events_that_are_not_due(
    due: Known | None, pending: Known, shown: Row | None, verdict: Verdict
) -> None:
    """With a newer event that is not committed the row may be either, but not older than what is committed."""
    assert verdict is judge(CASE._replace(due=due, pending=pending, row=shown), 0)


@pytest.mark.parametrize(
    ("shown", "begins_ms", "verdict"),
    [
        (RIGHT, None, Verdict.BEFORE_EVENTS),
        (RIGHT, AT_MS + 1, Verdict.BEFORE_EVENTS),
        (RIGHT, AT_MS, Verdict.NO_EVENT),
        (RIGHT._replace(written_us=AT_US + 1_000), AT_MS, Verdict.FOREIGN),
    ],
)
def test_rows_without_an_event(shown: Row, begins_ms: int | None, verdict: Verdict) -> None:
    """A row that we wrote must have its event, if that cannot have been deleted by age."""
    assert verdict is judge(CASE._replace(row=shown), begins_ms)


@pytest.mark.parametrize(
    ("begins_ms", "verdict"),
    [(None, Verdict.NEWER), (AT_MS + 6, Verdict.NEWER), (AT_MS + 5, Verdict.NO_EVENT)],
)
def test_rows_newer_than_every_event(begins_ms: int | None, verdict: Verdict) -> None:
    """Of one that we wrote the event may be gone by age; where it cannot be, its time is a wrong one."""
    assert verdict is judge(CASE._replace(due=DUE, row=row(5_000)), begins_ms)


@pytest.mark.parametrize(
    ("due", "refused", "shown", "verdict"),
    [
        (DUE, later(5_000), None, Verdict.REFUSED),
        (DUE, later(5_000), row(-1), Verdict.REFUSED),
        (DUE, later(5_000), RIGHT, Verdict.PENDING),
        (DUE, later(5_000), row(5_000), Verdict.PENDING),  # since the topic was read again
        # What is newer than the one that was refused was tried by itself.
        (DUE, later(-5_000), None, Verdict.MISSING),
        (DUE, later(-5_000), row(-5_000), Verdict.OLDER),
        (DUE, later(-5_000), RIGHT, Verdict.RIGHT),
        (None, later(0), None, Verdict.PENDING),
    ],
)
def test_users_of_whom_a_login_was_refused(
    due: Known | None, refused: Known, shown: Row | None, verdict: Verdict
) -> None:
    """An older login than the one that Cassandra refused may have been merged into it, and was then never written."""
    assert verdict is judge(CASE._replace(due=due, refused=refused, row=shown), 0)


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        (CASE._replace(due=DUE), Verdict.EXPIRED),
        (CASE._replace(pending=DUE), Verdict.EXPIRED),
        (CASE._replace(due=DUE, row=RIGHT), Verdict.EXPIRED),  # near the edge
        (CASE._replace(due=DUE, pending=later(2)), Verdict.PENDING),
        (CASE._replace(due=DUE, pending=later(2), row=row(-1)), Verdict.PENDING),
        (CASE._replace(due=later(2)), Verdict.MISSING),
        (CASE._replace(due=later(1)), Verdict.MISSING),
        (CASE._replace(due=later(2), row=row(2)), Verdict.RIGHT),
        (CASE._replace(row=RIGHT), Verdict.NO_EVENT),
    ],
)
def test_what_cassandra_forgets(case: Case, verdict: Verdict) -> None:
    """Logins so old that Cassandra may have forgotten them are missed in no row."""
    assert verdict is judge(case, 0, AT_US + 1)


def test_each_verdict_is_of_one_kind() -> None:
    """Right, pending, expired, wrong or unverifiable."""
    assert set(Verdict) == {Verdict.RIGHT, Verdict.PENDING, Verdict.EXPIRED, *WRONG, *UNVERIFIABLE}
    assert not WRONG.keys() & UNVERIFIABLE.keys()
