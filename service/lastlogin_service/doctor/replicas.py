"""Where the copies of a topic are. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lastlogin_service.counting import counted
from lastlogin_service.doctor.report import Line, error, ok, warning


_WIDELY_KEPT = 3
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition as the brokers describe it; `leader` is below 0 when it has none."""

    number: int
    leader: int
    replicas: Sequence[int]
    isr: Sequence[int]


def replica_lines(name: str, partitions: Sequence[Partition], told: int | None, brokers: int) -> Iterator[Line]:
    """Judge where a topic's copies are, `told` of which must be in sync for a write; None: that is not known."""
    check = "kafka.replicas"
    needed = 1 if told is None else told
    copies = min((len(each.replicas) for each in partitions), default=0)
    kept = counted(copies, "copy", "copies")
    leaderless = [each.number for each in partitions if each.leader < 0]
    below = [each.number for each in partitions if each.leader >= 0 and len(each.isr) < needed]
    behind = [each.number for each in partitions if len(each.isr) < len(each.replicas)]
    if leaderless:
        yield error(check, f"{name}: no leader in the partitions {listed(leaderless)}", "look at the brokers")
    if below:
        found = f"{name}: fewer copies in sync than min.insync.replicas ({needed}) in the partitions {listed(below)}"
        do = "what is written to these waits: look at the brokers"
        if copies < needed:
            do = f"it has only {kept}: mend the topic's replication factor or min.insync.replicas"
        yield error(check, found, do)
    elif behind:
        yield warning(
            check, f"{name}: not all copies are in sync in the partitions {listed(behind)}", "look at the brokers"
        )
    if copies < min(_WIDELY_KEPT, brokers):
        yield warning(
            check,
            f"{name}: {kept} on {counted(brokers, 'broker')}",
            "raise its replication factor to 3",
        )
    elif told is not None and told < min(2, copies):
        found = f"{name}: min.insync.replicas is 1: a message may be lost with a single broker"
        yield warning(check, found, "mend it with `lastlogin topics apply`")
    elif not (leaderless or behind or below):
        how_many = "how many are needed is not known" if told is None else f"{told} needed"
        yield ok(
            check,
            f"{name}: {counted(len(partitions), 'partition')}, {kept}, all in sync, {how_many}",
        )


def listed(numbers: Sequence[int]) -> str:
    """Numbers of partitions, the first few of many."""
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    return shown if len(numbers) <= _SHOWN else f"{shown} and {len(numbers) - _SHOWN} more"
