"""The judgements of `lastlogin doctor`, which need no server."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from lastlogin_ops.doctor import clocks, group, keeping, ring, table
from lastlogin_ops.doctor.group import Group, Position
from lastlogin_ops.doctor.ring import Node, Ring
from lastlogin_ops.doctor.table import Role
from lastlogin_schemas.columns import Column
from lastlogin_schemas.table import ServiceColumns, TableMapping
from lastlogin_service.doctor.report import Line


DAY_S = 86_400.0
TABLE = TableMapping("k", "t", services={"imap": ServiceColumns("at", "ip")})
COLUMNS = {
    "user": Column("partition_key", "text", 0),
    "at": Column("regular", "timestamp"),
    "ip": Column("regular", "inet"),
}
NODE = Node("192.0.2.1", "dc1", answers=True, release="5.0.9", settings={"commitlog_sync": "batch"})
THREE = Ring(
    [NODE, replace(NODE, address="192.0.2.2"), replace(NODE, address="192.0.2.3")],
    "dc1",
    "k",
    {"class": "org.apache.cassandra.locator.NetworkTopologyStrategy", "dc1": "3"},
    "LOCAL_QUORUM",
)


def told(lines: Line | Iterable[Line]) -> list[str]:
    """Level and first words of each line."""
    return [f"{line.level} {line.found}" for line in ([lines] if isinstance(lines, Line) else lines)]


def positions(*each: tuple[int, int, int | None]) -> list[Position]:
    """Partitions by first offset, end and what is committed."""
    return [Position(number, *offsets) for number, offsets in enumerate(each)]


@pytest.mark.parametrize(("operations", "level"), [(1 << 3, "ok"), (1 << 8, "error"), (-(2**31), "warning")])
def test_right_on_the_group(operations: int, level: str) -> None:
    """Bit 3 is Read; one value means that the brokers do not tell."""
    assert level == group.right(Group("g", 1, operations)).level


@pytest.mark.parametrize(
    ("members", "found", "sentence"),
    [
        (1, positions((0, 5, 5)), "ok g: 1 member"),
        (2, positions((0, 5, None)), "ok g: 2 members"),
        (0, positions((0, 5, 5)), "error g: nobody is in it: logins wait in Kafka"),
        (0, positions((0, 5, None)), "error g: nobody is in it, and it has never committed an offset"),
    ],
)
def test_members(members: int, found: list[Position], sentence: str) -> None:
    """Without members nothing is written; without offsets either, the name is probably wrong."""
    assert [sentence] == told(group.members(Group("g", members, 0), found))


@pytest.mark.parametrize(
    ("found", "sentences"),
    [
        (positions((0, 9, 9), (5, 9, 5)), ["ok g: 2 partitions stand where records are"]),
        (positions((4, 4, None)), ["ok g: 1 partition stands where records are"]),
        (positions((0, 4, None)), ["warning g: nothing is committed of the partitions 0, which have records"]),
        (positions((5, 9, 3)), ["error g: 2 records were deleted before they were read, in the partitions 0"]),
        (
            positions((0, 9, 10), (7, 9, 2)),
            [
                "error g: 5 records were deleted before they were read, in the partitions 1",
                "error g: its offsets are beyond the end of the partitions 0",
            ],
        ),
    ],
)
def test_offsets(found: list[Position], sentences: list[str]) -> None:
    """Offsets before the first record or after the last prove a loss; none at all proves nothing."""
    assert sentences == told(group.offsets("g", found))


@pytest.mark.parametrize(
    ("found", "oldest_s", "retention_s", "sentence"),
    [
        (positions((0, 9, 9), (4, 4, None)), None, DAY_S, "ok g: nothing waits"),
        (positions((0, 9, 12)), None, DAY_S, "ok g: nothing waits"),
        (positions((2, 9, 0), (0, 3, 2)), 30, DAY_S, "ok g: 8 records wait, the oldest for 30 s"),
        (positions((0, 9, 8)), 301, DAY_S, "warning g: 1 record waits, the oldest for 301 s"),
        (positions((0, 9, 8)), 301, None, "warning g: 1 record waits, the oldest for 301 s"),
        (positions((0, 9, 8)), None, DAY_S, "warning g: 1 record waits; since when is not known"),
        (positions((0, 9, 8)), 43_201, DAY_S, "error g: 1 record waits, the oldest for 43201 s: half of the topic's"),
    ],
)
def test_lag(found: list[Position], oldest_s: float | None, retention_s: float | None, sentence: str) -> None:
    """Five minutes are a warning as on a backend; half of the retention is an error."""
    [said] = told(group.lag("g", found, oldest_s, retention_s))

    assert sentence == said[: len(sentence)]


def test_records_that_cannot_be_read() -> None:
    """One that the group must still pass holds logins up, and has the command for it; one behind the group does not."""
    passed, held = group.unreadable("t", {1: 4, 0: 3}, positions((0, 9, 4), (0, 9, 4)))
    [unknown] = group.unreadable("t", {1: 4}, [])

    assert "warning t: the record at offset 3 of partition 0 cannot be read; the group is behind it" == told(passed)[0]
    assert "error t: the record at offset 4 of partition 1 cannot be read: what is there and" in told(held)[0]
    assert "`lastlogin-consumer skip --topic t --partition 1 --to 5`" in held.do
    assert unknown == held


@pytest.mark.parametrize(
    ("kept_s", "sentences"),
    [
        (
            {"events": 7 * DAY_S, "dlq": 7 * DAY_S},
            ["ok events 7 d, dlq 7 d; not known of quarantine; gc_grace_seconds 10 d"],
        ),
        ({"events": DAY_S, "quarantine": DAY_S}, ["ok events 1 d, quarantine 1 d; gc_grace_seconds 10 d"]),
        ({"events": 10 * DAY_S}, ["warning events is kept 10 d, gc_grace_seconds of k.t is 10 d: who was erased"]),
        ({"dlq": None}, ["warning dlq is kept for ever, gc_grace_seconds of k.t is 10 d: who was erased"]),
        ({}, []),
    ],
)
def test_erased(kept_s: dict[str, float | None], sentences: list[str]) -> None:
    """Records that outlive tombstones may bring users back."""
    unknown = [name for name in ["quarantine"] if name not in kept_s]
    found = told(keeping.erased(kept_s, unknown, TABLE, 864_000))

    assert sentences == [said[: len(sentence)] for said, sentence in zip(found, sentences, strict=True)]


@pytest.mark.parametrize(
    ("ttl_s", "events_s", "levels"),
    [(None, DAY_S, []), (86_400, DAY_S, ["ok"]), (60, DAY_S, ["warning"]), (86_400, None, ["warning"])],
)
def test_ttl(ttl_s: int | None, events_s: float | None, levels: list[str]) -> None:
    """A time to live below the retention lets a long outage pass logins unwritten."""
    assert levels == [line.level for line in keeping.expiring(events_s, replace(TABLE, ttl_s=ttl_s))]


@pytest.mark.parametrize(
    ("minutes", "events_s", "level"),
    [(10_080, 7 * DAY_S, "ok"), (1_440, 7 * DAY_S, "warning"), (1_440, None, "warning")],
)
def test_offsets_kept(minutes: int, events_s: float | None, level: str) -> None:
    """The brokers should remember a group for as long as its events are there."""
    assert level == keeping.offsets(minutes, events_s).level


def test_sizes() -> None:
    """A dead letter is larger than its record."""
    sizes = [{"max.message.bytes": size} for size in ("1000", "2000")]

    assert ["ok records of 1000 bytes, dead letters of 2000 bytes"] == told(keeping.letters(*sizes))
    assert ["warning"] == [line.level for line in keeping.letters(sizes[0], sizes[0])]


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "for ever"), (5, "5 s"), (90, "1.5 min"), (7_200, "2 h"), (604_800.0, "7 d")]
)
def test_durations(seconds: float | None, words: str) -> None:
    """Durations are in the largest unit that they fill."""
    assert words == keeping.shown(seconds)


def test_retention() -> None:
    """Kafka's -1 is for ever."""
    assert [None, 5.0] == [keeping.retention_s({"retention.ms": each}) for each in ("-1", "5000")]


def test_nodes() -> None:
    """Nodes that are down are named; with several data centres one must be chosen."""
    down = replace(THREE, nodes=[*THREE.nodes[:2], replace(NODE, address="192.0.2.9", answers=False)])
    two = replace(THREE, nodes=[*THREE.nodes, replace(NODE, data_center="dc2")])

    assert ["ok dc1: 3 nodes, Cassandra 5.0.9", "ok dc1"] == told(ring.nodes(THREE, None))
    assert ["warning dc1: 3 nodes, Cassandra 5.0.9; no answer from 192.0.2.9", "ok dc1"] == told(ring.nodes(down, None))
    assert ["ok", "warning"] == [line.level for line in ring.nodes(two, None)]
    assert ["ok", "ok"] == [line.level for line in ring.nodes(two, "dc1")]


def copies(ring_: Ring, consistency: str = "LOCAL_QUORUM", **replication: str) -> list[str]:
    """What is said of so many copies."""
    strategy = replication.pop("strategy", "NetworkTopologyStrategy")
    found = {"class": f"org.apache.cassandra.locator.{strategy}", **replication}
    return told(ring.copies(replace(ring_, replication=found, consistency=consistency)))


def test_copies() -> None:
    """Enough to lose a node, in the data centre that coordinates, and enough of them before a row counts as written."""
    more = replace(THREE, nodes=[*THREE.nodes, *(replace(NODE, data_center="dc2") for _ in range(3))])

    assert ["ok 3 copies of a row on 3 nodes, 2 needed (LOCAL_QUORUM)"] == copies(THREE, dc1="3")
    assert ["ok 3 copies of a row on 3 nodes, 2 needed (LOCAL_QUORUM)"] == copies(THREE, dc1="3/1")
    assert ["ok 6 copies of a row on 6 nodes, 4 needed (QUORUM)"] == copies(more, "QUORUM", dc1="3", dc2="3")
    for found, words in (
        (copies(THREE, dc1="1"), "warning 1 copy of a row on 3 nodes, 1 needed (LOCAL_QUORUM): logins wait while"),
        (
            copies(THREE, dc1="2"),
            "warning 2 copies of a row on 3 nodes, 2 needed (LOCAL_QUORUM): logins wait while any",
        ),
        (copies(THREE, "ALL", dc1="3"), "warning 3 copies of a row on 3 nodes, 3 needed (ALL): logins wait while any"),
        (
            copies(THREE, "ONE", dc1="3"),
            "warning 3 copies of a row on 3 nodes, 1 needed (ONE): an acknowledged row may",
        ),
        (copies(THREE, "TWO", dc1="1"), "error 1 copy of a row on 3 nodes, 2 needed (TWO): no row can be written"),
        (copies(THREE, dc1="7"), "error 7 copies of a row on 3 nodes, 4 needed (LOCAL_QUORUM): no row can be written"),
        (copies(more, dc2="3"), "error keyspace k has no copies in dc1; it has some in dc2"),
        (copies(more, strategy="SimpleStrategy", replication_factor="3"), "warning 3 copies of a row on 3 nodes, 2"),
    ):
        assert [words] == [said[: len(words)] for said in found]


def settings(*of: Mapping[str, str | None], future_s: float = 300.0, events_s: float | None = 0.0) -> list[str]:
    """What is said of nodes that are set so."""
    nodes = [replace(NODE, address=f"n{number}", settings=each) for number, each in enumerate(of)]
    return told(ring.settings(replace(THREE, nodes=nodes), "role", future_s, events_s))


def test_settings_not_told() -> None:
    """What may not be seen is a warning with the GRANT, or without a role in it."""
    [line] = ring.settings(replace(THREE, nodes=[replace(NODE, settings={})]), "Role", 300, 0)
    [nameless] = ring.settings(replace(THREE, nodes=[replace(NODE, settings={})] * 6), None, 300, 0)

    assert ("warning", True) == (line.level, 'system_views.settings TO "Role" (4.0' in line.do)
    assert ("192.0.2.1 and 2 more" in nameless.found, "settings (4.0" in nameless.do) == (True, True)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"commitlog_sync": "batch"}, "ok batch: an acknowledged row is on disk"),
        ({"commitlog_sync": None}, "ok ?: an acknowledged row is on disk"),
        (
            {"commitlog_sync": "periodic", "commitlog_sync_period": "10s"},
            "warning periodic, 10 s (n0): an acknowledged",
        ),
        ({"commitlog_sync": "periodic", "commitlog_sync_period_in_ms": "500"}, "warning periodic, 0.5 s (n0): an"),
        ({"commitlog_sync": "periodic", "commitlog_sync_period": "odd unit"}, "warning periodic (n0): an acknowledged"),
    ],
)
def test_commit_log(found: dict[str, str | None], words: str) -> None:
    """Only a commit log that is written before the answer makes an acknowledged row durable on its node."""
    assert words == settings(found)[0][: len(words)]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"batch_size_warn_threshold": "5KiB", "batch_size_fail_threshold": "50KiB"}, "ok batches of 5 KiB pass"),
        ({"batch_size_warn_threshold_in_kb": "5"}, "ok batches of 5 KiB pass"),
        ({"batch_size_warn_threshold": "5parsecs"}, "ok batches of 5 KiB pass"),
        ({"batch_size_warn_threshold_in_kb": "4"}, "warning batch_size_warn_threshold is 4096 bytes: n0 log a warning"),
        ({"batch_size_fail_threshold": "1KiB"}, "warning batch_size_fail_threshold is 1024 bytes: n0 refuse the"),
    ],
)
def test_batches(found: dict[str, str | None], words: str) -> None:
    """The consumer's batches are below what Cassandra warns of as delivered."""
    assert words == settings({"commitlog_sync": "batch"} | found)[1][: len(words)]


def test_guardrails() -> None:
    """Limits on times that a login may reach are no more than a warning: Cassandra holds no batch against them."""
    ahead = {"maximum_timestamp_fail_threshold": "1m"}
    behind = {"minimum_timestamp_fail_threshold": "1d"}

    assert "ok no limit on times" in settings({"commitlog_sync": "batch"})[2]
    assert "ok no limit on times" in settings({"maximum_timestamp_fail_threshold": "1h"} | behind, events_s=3_600)[2]
    assert "warning n0 is set to refuse rows more than 1 min ahead" == settings(ahead)[2]
    refuses = "warning n0 is set to refuse rows older than 1 d, events are kept"
    assert f"{refuses} 7 d" == settings(behind, events_s=7 * DAY_S)[2]
    assert f"{refuses} for ever" == settings(behind, events_s=None)[2]


def test_shape() -> None:
    """A table of another shape is an error, one that lacks columns a warning; both tell what to do."""
    lines = [
        table.shape(TABLE, COLUMNS),
        table.shape(TABLE, {name: each for name, each in COLUMNS.items() if name != "ip"}),
        table.shape(TABLE, COLUMNS | {"at": Column("regular", "bigint")}),
        table.shape(TABLE, {}),
    ]

    assert ["ok", "warning", "error", "error"] == [line.level for line in lines]
    assert "k.t lacks columns, which are not written: ip" == lines[1].found
    assert "in cqlsh: ALTER TABLE k.t ADD (ip inet)" in lines[1].do
    assert ("at is bigint, must be timestamp" in lines[2].found, "name it in" in lines[2].do) == (True, True)
    assert ("there is no table k.t", True) == (lines[3].found, "CREATE TABLE" in lines[3].do)


@pytest.mark.parametrize(
    ("changed", "ttl_s", "words"),
    [
        ({}, None, ["ok LeveledCompactionStrategy, gc_grace_seconds 864000, no default TTL"]),
        ({"default_time_to_live": 3600}, None, ["error default_time_to_live of k.t is 1 h: logins vanish"]),
        ({"default_time_to_live": 3600}, 9, ["warning default_time_to_live of k.t is 1 h: what others write"]),
        ({"gc_grace_seconds": 0}, None, ["warning gc_grace_seconds of k.t is 0"]),
        (
            {"compaction": {"class": "a.TimeWindowCompactionStrategy"}},
            None,
            ["warning TimeWindowCompactionStrategy of"],
        ),
    ],
)
def test_options(changed: dict[str, Any], ttl_s: int | None, words: list[str]) -> None:
    """Options with which rows would vanish or come back, each with the CQL that mends it."""
    good = {
        "default_time_to_live": 0,
        "gc_grace_seconds": 864_000,
        "compaction": {"class": "a.LeveledCompactionStrategy"},
    }
    lines = list(table.options(replace(TABLE, ttl_s=ttl_s), good | changed))

    assert words == [said[: len(word)] for said, word in zip(told(lines), words, strict=True)]
    assert all("in cqlsh: ALTER TABLE k.t WITH" in line.do for line in lines if changed)


@pytest.mark.parametrize(
    ("role", "level"),
    [
        (None, "ok"),
        (Role("r", is_superuser=False, grants={("<table k.t>", "MODIFY")}), "ok"),
        (Role("r", is_superuser=False, grants={("<all tables in k>", "MODIFY")}), "ok"),
        (Role("r", is_superuser=False, grants={("<keyspace k>", "MODIFY")}), "ok"),
        (Role("r", is_superuser=False, grants={("<all keyspaces>", "MODIFY")}), "ok"),
        (Role("r", is_superuser=False, grants={("<table k.t>", "SELECT"), ("<table k.u>", "MODIFY")}), "error"),
        (Role("r", is_superuser=False, grants=None), "warning"),
        (Role("r", is_superuser=True, grants=()), "warning"),
    ],
)
def test_right_on_the_table(role: Role | None, level: str) -> None:
    """It may be granted on the table or on what it is in; a superuser has more than is good."""
    [line] = table.right(TABLE, role, "MODIFY")

    assert ("table.modify", level) == (line.check, line.level)
    if level != "ok":
        # To who may do too much nothing is granted.
        assert (role is not None and role.is_superuser) != ("GRANT MODIFY ON TABLE k.t TO r" in line.do)


def test_backends() -> None:
    """A login is later than its append time only by a wrong clock; one that is earlier proves nothing."""
    logins = [("mail1", -3_600.0), ("mail1", 0.5), ("mail2", 2.0), ("mail3", 400.0), ("mail3", 0.0)]

    assert [
        "warning mail2: 2.0 s ahead of Kafka's append time: its logins win over later ones",
        "error mail3: 400.0 s ahead of Kafka's append time: its logins are refused as future",
    ] == told(clocks.backends(logins, 300))
    assert ["ok none of the 2 newest logins of 1 backend is ahead of Kafka's append time"] == told(
        clocks.backends(logins[:2], 300)
    )
    assert ["ok no logins on the topic to tell by"] == told(clocks.backends([], 300))


def test_clocks_of_nodes() -> None:
    """A second is enough for hosts that have NTP."""
    assert ["ok 2 nodes within 1 s of this host"] == told(clocks.nodes({"a": 0.9, "b": -0.9}))
    assert ["warning a: 2.0 s ahead of this host", "warning b: 3.0 s behind this host"] == told(
        clocks.nodes({"a": 2.0, "b": -3.0, "c": 0.0})
    )
    assert [] == told(clocks.nodes({}))


@pytest.mark.parametrize(
    ("appended_s", "kept", "words"),
    [
        (100.5, True, "ok synchronised, says the kernel; not behind Kafka's append time"),
        (None, True, "ok synchronised, says the kernel; no record to compare with"),
        (None, None, "ok the kernel does not say whether it is synchronised; no record to compare with"),
        (90.0, False, "warning not synchronised, says the kernel"),
        (102.0, True, "warning this host is at least 2.0 s behind Kafka's append time"),
    ],
)
def test_own_clock(appended_s: float | None, kept: bool | None, words: str) -> None:  # noqa: FBT001 - the kernel's word
    """No record was appended in the future: one that seems so tells that this host is behind."""
    assert [words] == told(clocks.own(appended_s, 100.0, kept=kept))
