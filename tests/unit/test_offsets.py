"""Which offsets may be committed."""

from lastlogin_consumer.offsets import Watermarks, missing, next_offset
from tests.support.logins import record


def test_the_next_offset_is_one_after_the_last() -> None:
    """What is committed is where to go on, not what was read last."""
    assert 8 == next_offset([record(b"", offset=6), record(b"", offset=7)])


def test_skipped_records_are_noticed() -> None:
    """Offsets from the position on that no record has are counted, before the first record and between them."""
    assert 0 == missing(6, [record(b"", offset=6), record(b"", offset=7)])
    assert 1 == missing(5, [record(b"", offset=6), record(b"", offset=7)])
    assert 2 == missing(6, [record(b"", offset=6), record(b"", offset=9)])


def test_only_what_is_done_and_not_yet_committed_is_due() -> None:
    """A watermark is due until Kafka has acknowledged it; one that moved meanwhile stays due."""
    watermarks = Watermarks()
    watermarks.assign([0, 1])
    assert {} == watermarks.uncommitted()

    watermarks.done(0, 10)
    due = watermarks.uncommitted()
    watermarks.done(0, 12)
    watermarks.committed(due)

    assert {0: 10} == due
    assert {0: 12} == watermarks.uncommitted()
    watermarks.committed({0: 12})
    assert {} == watermarks.uncommitted()


def test_a_partition_that_is_no_longer_ours_is_never_committed() -> None:
    """Whatever happened in an earlier assignment is forgotten, and late news of it is ignored."""
    watermarks = Watermarks()
    watermarks.assign([0, 1])
    watermarks.done(0, 10)
    watermarks.assign([1])
    watermarks.done(0, 11)
    watermarks.committed({0: 10})

    assert {} == watermarks.uncommitted()


def test_a_topic_made_anew_starts_over() -> None:
    """A watermark may go back: the offsets of a new topic begin at 0."""
    watermarks = Watermarks()
    watermarks.assign([0])
    watermarks.done(0, 1000)
    watermarks.committed({0: 1000})
    watermarks.done(0, 3)

    assert {0: 3} == watermarks.uncommitted()
