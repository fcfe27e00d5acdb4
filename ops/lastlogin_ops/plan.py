"""Topics as they are against topics as they should be. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from lastlogin_schemas.topics import TopicSpec


MIN_ISR = "min.insync.replicas"


class Action(Enum):
    """What `apply` does about a setting."""

    KEEP = "as wanted"
    CREATE = "create"
    ADD_PARTITIONS = "add partitions"
    ALTER = "change"
    BY_HAND = "by hand"


@dataclass(frozen=True, slots=True)
class Existing:
    """A topic as Kafka has it; `replication_factor` is that of its partition with the fewest replicas."""

    partitions: int
    replication_factor: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Line:
    """One setting of one topic: what it is (None: no such topic), what it should be, and what is to be done."""

    topic: str
    setting: str
    existing: str | None
    wanted: str
    action: Action
    note: str = ""


def plan(specs: Sequence[TopicSpec], existing: Mapping[str, Existing]) -> list[Line]:
    """Compare every setting of every wanted topic."""
    return [line for spec in specs for line in _lines(spec, existing.get(spec.name))]


def _lines(spec: TopicSpec, now: Existing | None) -> Iterator[Line]:
    if now is None:
        yield Line(spec.name, "partitions", None, str(spec.partitions), Action.CREATE)
        yield Line(spec.name, "replication factor", None, str(spec.replication_factor), Action.CREATE)
        for setting, wanted in spec.configs.items():
            yield Line(spec.name, setting, None, wanted, Action.CREATE)
        return
    yield _partitions(spec, now)
    yield _replication(spec, now)
    for setting, wanted in spec.configs.items():
        value = now.configs.get(setting, "")
        action, note = (Action.KEEP, "") if value == wanted else (Action.ALTER, "")
        if setting == MIN_ISR and action is Action.ALTER and int(wanted) > now.replication_factor:
            action = Action.BY_HAND
            note = "every write would fail: raise the replication factor first"
        yield Line(spec.name, setting, value, wanted, action, note)


def _partitions(spec: TopicSpec, now: Existing) -> Line:
    action, note = Action.KEEP, ""
    if now.partitions < spec.partitions:
        action = Action.ADD_PARTITIONS
    elif now.partitions > spec.partitions:
        note = "more do no harm, and Kafka cannot take them back"
    return Line(spec.name, "partitions", str(now.partitions), str(spec.partitions), action, note)


def _replication(spec: TopicSpec, now: Existing) -> Line:
    action, note = Action.KEEP, ""
    if now.replication_factor < spec.replication_factor:
        action = Action.BY_HAND
        note = "it moves data: use kafka-reassign-partitions.sh"
    elif now.replication_factor > spec.replication_factor:
        note = "more do no harm"
    wanted = str(spec.replication_factor)
    return Line(spec.name, "replication factor", str(now.replication_factor), wanted, action, note)
