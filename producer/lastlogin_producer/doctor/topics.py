"""Kafka's side of it: whether we are let in, the topics, their replicas, and our right to write."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from lastlogin_producer.doctor.report import Line, error, ok, warning
from lastlogin_producer.doctor.rights import TopicsAndRights, may_write
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.kafka import KafkaSettings, TopicSettings
from lastlogin_service.kafka_admin import admin_client
from lastlogin_service.topics import topic_configs, topic_findings


_DEADLINE_S = 5.0
_WIDELY_KEPT = 3


@dataclass(frozen=True, slots=True)
class _Partition:
    number: int
    leader: int
    replicas: Sequence[int]
    isr: Sequence[int]


async def look(kafka: KafkaSettings, topics: TopicSettings) -> list[Line]:
    """Log in and look at the topics that a producer writes."""
    names = {"events": topics.events, "quarantine": topics.quarantine}
    whom = f"as {kafka.sasl_username} ({kafka.sasl_mechanism})" if kafka.uses_sasl else "without a name"
    lines: list[Line] = []
    try:
        async with admin_client(kafka, _DEADLINE_S) as client:
            lines.append(ok("kafka.login", f"{kafka.security_protocol}, {whom}"))
            lines += await _topics(client, names)
            lines += await _metadata(client, list(names.values()))
    except Exit as end:
        check = "kafka.topics" if lines else "kafka.login"
        do = (
            "look at [kafka]: user, password, certificates, security_protocol"
            if end.code == CONFIG
            else "look at Kafka"
        )
        lines.append(error(check, end.message, do))
    return lines


async def _topics(client: AIOKafkaAdminClient, names: Mapping[str, str]) -> list[Line]:
    check = "kafka.topics"
    lines = []
    for finding in await topic_findings(client, names):
        found, _, do = finding.sentence.rpartition("; ")
        level = warning if finding.code is None else error
        lines.append(level(check, found or finding.sentence, do if found else "grant it; the rest was looked at"))
    return lines or [ok(check, f"{' and '.join(names.values())}: there, with the right settings")]


async def _metadata(client: AIOKafkaAdminClient, names: Sequence[str]) -> list[Line]:
    try:
        answer = await client._send_request(TopicsAndRights(names))  # noqa: SLF001 - it has no request of its own for it
    except NotImplementedError:
        return [warning("kafka.write", "brokers before 2.3 do not tell our rights", "see the round trip instead")]
    cluster = answer.to_object()
    brokers = len(cluster["brokers"])
    lines: list[Line] = []
    for topic in cluster["topics"]:
        if topic["error_code"]:
            continue
        name = topic["topic"]
        lines.append(_right(name, topic["authorized_operations"]))
        code, _, entries = await topic_configs(client, name)
        configs = {} if code else {entry[0]: entry[1] for entry in entries}
        needed = int(configs.get("min.insync.replicas", 1))
        partitions = [_partition(each) for each in topic["partitions"]]
        lines += replica_lines(name, partitions, needed, brokers)
    return lines


def _partition(found: Mapping[str, Any]) -> _Partition:
    return _Partition(found["partition"], found["leader"], found["replicas"], found["isr"])


def _right(name: str, operations: int) -> Line:
    check = "kafka.write"
    match may_write(operations):
        case True:
            return ok(check, f"{name}: our user may write")
        case False:
            return error(check, f"{name}: our user may not write", "grant Write on it")
        case _:
            return warning(check, f"{name}: the brokers do not tell our rights", "see the round trip instead")


def replica_lines(name: str, partitions: Sequence[_Partition], needed: int, brokers: int) -> Iterator[Line]:
    """Judge where a topic's copies are, `needed` of which must be in sync for a write."""
    check = "kafka.replicas"
    copies = min((len(each.replicas) for each in partitions), default=0)
    leaderless = [each.number for each in partitions if each.leader < 0]
    below = [each.number for each in partitions if each.leader >= 0 and len(each.isr) < needed]
    behind = [each.number for each in partitions if len(each.isr) < len(each.replicas)]
    if leaderless:
        yield error(check, f"{name}: no leader in the partitions {_listed(leaderless)}", "look at the brokers")
    if below:
        found = f"{name}: fewer copies in sync than min.insync.replicas ({needed}) in the partitions {_listed(below)}"
        do = "messages for these wait in the spool: look at the brokers"
        if copies < needed:
            do = f"there are only {copies} copies: mend the topic's replication factor or min.insync.replicas"
        yield error(check, found, do)
    elif behind:
        yield warning(
            check, f"{name}: not all copies are in sync in the partitions {_listed(behind)}", "look at the brokers"
        )
    if copies < min(_WIDELY_KEPT, brokers):
        yield warning(check, f"{name}: {copies} copies on {brokers} brokers", "raise its replication factor to 3")
    elif needed < min(2, copies):
        found = f"{name}: min.insync.replicas is 1: a message may be lost with a single broker"
        yield warning(check, found, "mend it with `lastlogin topics apply`")
    elif not (leaderless or behind or below):
        yield ok(check, f"{name}: {len(partitions)} partitions, {copies} copies, all in sync, {needed} needed")


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return shown if len(numbers) <= 8 else f"{shown} and {len(numbers) - 8} more"  # noqa: PLR2004
