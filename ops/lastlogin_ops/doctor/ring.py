"""Cassandra's nodes: which there are, how many of them have a row, and how each of them is set. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lastlogin_ops.doctor.keeping import shown
from lastlogin_schemas.ddl import plain
from lastlogin_service.counting import counted
from lastlogin_service.doctor.report import Line, error, ok, warning


# As a batch of the consumer has them at most.
_BATCH_BYTES = 5 * 1024
_WIDELY_KEPT = 3
_SHOWN = 4

# Settings that are asked for, by the names of 4.1 and later and of 4.0.
SETTINGS = (
    "commitlog_sync",
    "commitlog_sync_period",
    "commitlog_sync_period_in_ms",
    "batch_size_warn_threshold",
    "batch_size_warn_threshold_in_kb",
    "batch_size_fail_threshold",
    "batch_size_fail_threshold_in_kb",
    "maximum_timestamp_fail_threshold",
    "minimum_timestamp_fail_threshold",
)
_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


@dataclass(frozen=True, slots=True)
class Node:
    """A node; of one that does not answer, or is not asked, only what the others say. Untold `settings` are empty.

    `ahead_s` is by how much its clock is ahead of ours, at least; None: not known.
    """

    address: str
    data_center: str
    answers: bool
    release: str
    settings: Mapping[str, str | None]
    ahead_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ring:
    """All nodes, the data centre that coordinates, and where the keyspace has its copies."""

    nodes: Sequence[Node]
    local_dc: str
    keyspace: str
    replication: Mapping[str, str]
    consistency: str

    @property
    def data_centers(self) -> list[str]:
        """Names of the data centres."""
        return sorted({node.data_center for node in self.nodes})

    @property
    def local(self) -> list[Node]:
        """Nodes that coordinate."""
        return [node for node in self.nodes if node.data_center == self.local_dc]

    def copies(self, data_center: str) -> int:
        """How many nodes of a data centre have a row."""
        if (everywhere := self.replication.get("replication_factor")) is not None:
            return int(everywhere)
        # 3/1: of three one is transient.
        return int(self.replication.get(data_center, "0").partition("/")[0])


def nodes(ring: Ring, wanted_dc: str | None) -> Iterator[Line]:
    """Which nodes there are, and whether it is said which of them coordinate."""
    check = "cassandra.nodes"
    down = [node.address for node in ring.local if not node.answers]
    releases = ", ".join(sorted({node.release for node in ring.local}))
    found = f"{ring.local_dc}: {counted(len(ring.local), 'node')}, Cassandra {releases}"
    if down:
        yield warning(check, f"{found}; no answer from {_listed(down)}", "look at these nodes")
    else:
        yield ok(check, found)
    check = "cassandra.local_dc"
    if wanted_dc is None and len(ring.data_centers) > 1:
        found = f"not set; {ring.local_dc} for now, that of the first contact point that answers"
        yield warning(check, found, f"set it: there are {', '.join(ring.data_centers)}")
    else:
        yield ok(check, ring.local_dc)


def copies(ring: Ring) -> Iterator[Line]:
    """Whether a row is on enough nodes, and whether enough of them must have it before it counts as written."""
    check = "cassandra.copies"
    alter = f"ALTER KEYSPACE {plain(ring.keyspace)} WITH replication = ..., then nodetool repair on each node"
    strategy = ring.replication.get("class", "").rpartition(".")[2]
    local, everywhere = ring.copies(ring.local_dc), sum(map(ring.copies, ring.data_centers))
    of_all = ring.consistency in ("QUORUM", "ALL", "ONE", "TWO", "THREE") and strategy == "NetworkTopologyStrategy"
    kept, there = (everywhere, len(ring.nodes)) if of_all else (local, len(ring.local))
    needed = _needed(ring.consistency, kept)
    found = (
        f"{counted(kept, 'copy', 'copies')} of a row on {counted(there, 'node')}, {needed} needed ({ring.consistency})"
    )
    if local == 0:
        there_are = ", ".join(name for name in ring.data_centers if ring.copies(name)) or "none"
        found = f"keyspace {ring.keyspace} has no copies in {ring.local_dc}; it has some in {there_are}"
        yield error(check, found, f"set cassandra.local_dc to one of these, or {alter}")
        return
    if needed > min(kept, there):
        yield error(check, f"{found}: no row can be written", f"{alter}; or start more nodes")
    elif kept == 1:
        yield warning(check, f"{found}: logins wait while its node is down, and rows are lost with it", alter)
    elif needed == 1:
        found += ": an acknowledged row may be lost with a single node"
        yield warning(check, found, 'set cassandra.consistency = "LOCAL_QUORUM"')
    elif needed == kept:
        do = alter if kept < _WIDELY_KEPT else 'set cassandra.consistency = "LOCAL_QUORUM"'
        yield warning(check, f"{found}: logins wait while any node is down", do)
    elif strategy == "SimpleStrategy" and len(ring.data_centers) > 1:
        yield warning(check, f"{found}: SimpleStrategy does not know data centres", alter)
    else:
        yield ok(check, found)


def _needed(consistency: str, kept: int) -> int:
    fixed = {"ONE": 1, "LOCAL_ONE": 1, "TWO": 2, "THREE": 3, "ALL": kept}
    return fixed.get(consistency, kept // 2 + 1)


def settings(ring: Ring, role: str | None, future_limit_s: float, events_s: float | None) -> Iterator[Line]:
    """How the nodes are set; `events_s` is how long events may wait in Kafka, None for ever."""
    asked = [node for node in ring.local if node.settings]
    if lacking := [node.address for node in ring.local if node.answers and not node.settings]:
        whom = f" TO {plain(role)}" if role is not None else ""
        found = f"commit log, batches and guardrails are not known of {_listed(lacking)}"
        do = f"GRANT SELECT ON TABLE system_views.settings{whom} (4.0 and later), or look at cassandra.yaml"
        yield warning("cassandra.settings", found, do)
    if asked:
        yield _commit_log(asked)
        yield _batches(asked)
        yield from _times(asked, future_limit_s, events_s)


def _commit_log(asked: Sequence[Node]) -> Line:
    check = "cassandra.commit_log"
    periodic = {
        node.address: _milliseconds(node, "commitlog_sync_period")
        for node in asked
        if node.settings.get("commitlog_sync") == "periodic"
    }
    if not periodic:
        modes = ", ".join(sorted({node.settings.get("commitlog_sync") or "?" for node in asked}))
        return ok(check, f"{modes}: an acknowledged row is on disk")
    longest = max((each for each in periodic.values() if each is not None), default=None)
    period = "" if longest is None else f", {longest / 1000:g} s"
    found = f"periodic{period} ({_listed(list(periodic))}): an acknowledged row may be in memory alone for so long"
    do = "set commitlog_sync: batch or group; else after a loss of power write again: `lastlogin-consumer replay`"
    return warning(check, found, do)


def _batches(asked: Sequence[Node]) -> Line:
    check = "cassandra.batches"
    for key, does in (
        ("batch_size_fail_threshold", "refuse"),
        ("batch_size_warn_threshold", "log a warning for each of"),
    ):
        small = {
            node.address: size for node in asked if (size := _bytes(node, key)) is not None and size < _BATCH_BYTES
        }
        if small:
            smallest = min(small.values())
            found = f"{key} is {smallest:.0f} bytes: {_listed(list(small))} {does} the consumer's batches of 5 KiB"
            return warning(check, found, f"set {key}: 5KiB or more in cassandra.yaml")
    return ok(check, "batches of 5 KiB pass without a warning")


def _times(asked: Sequence[Node], future_limit_s: float, events_s: float | None) -> Iterator[Line]:
    check = "cassandra.guardrails"
    later = "up to Cassandra 5.0 no batch is held against it, a later version may do that"
    lines = []
    for node in asked:
        ahead = _milliseconds(node, "maximum_timestamp_fail_threshold")
        behind = _milliseconds(node, "minimum_timestamp_fail_threshold")
        if ahead is not None and ahead < future_limit_s * 1000:
            found = f"{node.address} is set to refuse rows more than {shown(ahead / 1000)} ahead"
            do = f"raise maximum_timestamp_fail_threshold above future_limit_s ({shown(future_limit_s)}): {later}"
            lines.append(warning(check, found, do))
        if behind is not None and (events_s is None or behind < events_s * 1000):
            older = f"rows older than {shown(behind / 1000)}, events are kept {shown(events_s)}"
            found = f"{node.address} is set to refuse {older}"
            lines.append(warning(check, found, f"unset minimum_timestamp_fail_threshold: {later}"))
    yield from lines or [ok(check, "no limit on times of writes that logins could reach")]


def _milliseconds(node: Node, key: str) -> float | None:
    return _measured(node.settings.get(key), node.settings.get(f"{key}_in_ms"), "ms", _MILLISECONDS)


def _bytes(node: Node, key: str) -> float | None:
    return _measured(node.settings.get(key), node.settings.get(f"{key}_in_kb"), "KiB", _BYTES)


def _measured(value: str | None, old_value: str | None, old_unit: str, units: Mapping[str, int]) -> float | None:
    """A value with its unit, or one that older versions have without."""
    found = re.fullmatch(r"(-?\d+)([A-Za-z]*)", value or old_value or "")
    if found is None:
        return None
    factor = units.get(found[2] or old_unit)
    return None if factor is None else float(found[1]) * factor


def _listed(addresses: Sequence[str]) -> str:
    shown_ones = ", ".join(addresses[:_SHOWN])
    return shown_ones if len(addresses) <= _SHOWN else f"{shown_ones} and {len(addresses) - _SHOWN} more"
