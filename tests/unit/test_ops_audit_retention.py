"""How far back an audit may judge."""

from lastlogin_ops.audit.retention import Kept, deleted_before, retained_from


EXPIRED, OLD, YOUNG, SLACK = 1_000_000, 2_000_000, 9_000_000, 300_000
WHOLE, CUT, EMPTIED, NEVER = Kept(0, YOUNG), Kept(5, OLD), Kept(5, None), Kept(0, None)


def test_nothing_deleted() -> None:
    """Where every partition still has its first record, or never had one, everything can be judged."""
    assert deleted_before([WHOLE, NEVER], [NEVER], EXPIRED) is None


def test_deleted_events() -> None:
    """What is before the youngest first record of a partition may be gone; of an emptied one, what has expired."""
    assert deleted_before([WHOLE, CUT, Kept(1, OLD + 1)], [NEVER], EXPIRED) == OLD + 1
    assert deleted_before([WHOLE, EMPTIED], [NEVER], EXPIRED) == EXPIRED


def test_deleted_quarantine() -> None:
    """The quarantine is sparse: its first record says little, its retention does."""
    for kept in (Kept(5, YOUNG), EMPTIED):
        assert deleted_before([WHOLE], [kept], EXPIRED) == EXPIRED
    assert deleted_before([WHOLE], [Kept(5, EXPIRED - 1)], EXPIRED) == EXPIRED - 1


def test_logins_whose_events_are_retained() -> None:
    """They begin with the topic, or with what was deleted, and a clock ahead makes them later."""
    assert retained_from([NEVER], EXPIRED, SLACK) is None
    assert retained_from([WHOLE, NEVER], EXPIRED, SLACK) == YOUNG + SLACK
    assert retained_from([Kept(0, OLD - 1), CUT], EXPIRED, SLACK) == OLD + SLACK
    assert retained_from([Kept(0, OLD), EMPTIED], EXPIRED, SLACK) == OLD + SLACK
