"""Topics as they are against topics as they should be."""

import pytest

from lastlogin_ops.plan import Action, Existing, Line, plan
from lastlogin_schemas.topics import TopicSpec


SPEC = TopicSpec("t", 12, 3, {"retention.ms": "700", "min.insync.replicas": "2"})
AS_WANTED = Existing(12, 3, {"retention.ms": "700", "min.insync.replicas": "2", "segment.ms": "9"})


def deviations(existing: Existing) -> list[Line]:
    """Lines that are not simply as wanted."""
    return [line for line in plan([SPEC], {"t": existing}) if line.action is not Action.KEEP or line.note]


def test_as_wanted() -> None:
    """A topic as wanted needs nothing; settings of which nothing is wanted are left alone."""
    assert plan([SPEC], {"t": AS_WANTED, "other": AS_WANTED}) == [
        Line("t", "partitions", "12", "12", Action.KEEP),
        Line("t", "replication factor", "3", "3", Action.KEEP),
        Line("t", "retention.ms", "700", "700", Action.KEEP),
        Line("t", "min.insync.replicas", "2", "2", Action.KEEP),
    ]


def test_missing() -> None:
    """A topic that does not exist is to be made, with everything."""
    assert plan([SPEC], {}) == [
        Line("t", "partitions", None, "12", Action.CREATE),
        Line("t", "replication factor", None, "3", Action.CREATE),
        Line("t", "retention.ms", None, "700", Action.CREATE),
        Line("t", "min.insync.replicas", None, "2", Action.CREATE),
    ]


def test_partitions_are_added_never_removed() -> None:
    """Too few partitions are made more; too many stay."""
    assert deviations(Existing(6, 3, AS_WANTED.configs)) == [Line("t", "partitions", "6", "12", Action.ADD_PARTITIONS)]
    assert deviations(Existing(24, 3, AS_WANTED.configs)) == [
        Line("t", "partitions", "24", "12", Action.KEEP, "more do no harm, and Kafka cannot take them back")
    ]


def test_replication_is_a_persons_work() -> None:
    """Too few replicas are for a person to raise, with the tool named; more are welcome."""
    assert deviations(Existing(12, 2, AS_WANTED.configs)) == [
        Line("t", "replication factor", "2", "3", Action.BY_HAND, "it moves data: use kafka-reassign-partitions.sh")
    ]
    assert deviations(Existing(12, 5, AS_WANTED.configs)) == [
        Line("t", "replication factor", "5", "3", Action.KEEP, "more do no harm")
    ]


@pytest.mark.parametrize("value", ["600", "", None])
def test_settings_are_changed(value: str | None) -> None:
    """A setting that differs, or that the broker does not know, is to be set."""
    configs = {"min.insync.replicas": "2"} | ({} if value is None else {"retention.ms": value})

    assert deviations(Existing(12, 3, configs)) == [Line("t", "retention.ms", value or "", "700", Action.ALTER)]


def test_no_write_is_made_impossible() -> None:
    """More replicas in sync than there are replicas are never asked for: each write would fail."""
    lines = deviations(Existing(12, 1, AS_WANTED.configs | {"min.insync.replicas": "1"}))

    assert [(line.setting, line.action) for line in lines] == [
        ("replication factor", Action.BY_HAND),
        ("min.insync.replicas", Action.BY_HAND),
    ]
    assert lines[1].note == "every write would fail: raise the replication factor first"
