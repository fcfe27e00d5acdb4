"""Kafka as the consumer meets it: servers, topics, rights, its group, and the newest records."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import GroupAuthorizationFailedError, for_code

from lastlogin_ops import few
from lastlogin_ops.backlog import committed_offsets
from lastlogin_ops.doctor import clocks, group, keeping
from lastlogin_ops.doctor.group import Group, Position
from lastlogin_ops.doctor.subject import Subject
from lastlogin_ops.few import Few
from lastlogin_ops.plan import Action, Existing, plan
from lastlogin_ops.tailing import decoded
from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.topics import TopicSpec
from lastlogin_service.doctor import servers
from lastlogin_service.doctor.kernel import synchronised
from lastlogin_service.doctor.report import Line, error, ok, warning
from lastlogin_service.doctor.rights import GroupAndRights, Operation
from lastlogin_service.doctor.topics import Topic, let_in, look, refused, setting_lines
from lastlogin_service.exits import Exit
from lastlogin_service.kafka import KafkaSettings
from lastlogin_service.kafka_admin import admin_client
from lastlogin_service.scan import reading
from lastlogin_service.topics import topic_configs


# For each of three steps: somebody waits for the answer.
_DEADLINE_S = 5.0
_READ_S = 2.0
# Of each partition: enough that most backends have one among them.
_NEWEST = 50
# Told by lines of their own.
_JUDGED = ("cleanup.policy", "message.timestamp.type")
_OFFSETS_KEPT = "offsets.retention.minutes"


@dataclass(slots=True)
class Found:
    """Lines, and for how many seconds each topic is kept, where that is known (None: for ever)."""

    lines: list[Line] = field(default_factory=list)
    kept_s: dict[str, float | None] = field(default_factory=dict)


async def examine(subject: Subject, kafka: KafkaSettings, specs: Sequence[TopicSpec]) -> Found:
    """Look at everything; `specs` are topics as they are wanted, for those that are compared."""
    usable, lines = await servers.look(servers.of_kafka(kafka))
    found = Found(lines)
    if not usable:
        return found
    names = {"events": subject.topics.events, "dead_letters": subject.topics.dead_letters}
    rights = {subject.topics.events: Operation.READ, subject.topics.dead_letters: Operation.WRITE}
    topics: dict[str, Topic] = {}
    check = "kafka.login"
    try:
        async with admin_client(kafka, _DEADLINE_S) as client:
            found.lines.append(let_in(kafka))
            check = "kafka.topics"
            found.lines += await setting_lines(client, names)
            told, topics = await look(client, rights, "look at the consumer's log")
            # Another user's rights say nothing of the consumer's.
            found.lines += [line for line in told if subject.is_consumer or line.check == "kafka.replicas"]
            found.lines += _compared(specs, topics)
            found.kept_s = {name: keeping.retention_s(each.configs) for name, each in topics.items() if each.configs}
            # Which the consumer's user need not see.
            code, _, entries = await topic_configs(client, subject.topics.quarantine)
            if not code:
                quarantine = {name: value or "" for name, value, *_ in entries}
                found.kept_s[subject.topics.quarantine] = keeping.retention_s(quarantine)
            if subject.topics.events in found.kept_s:
                found.lines.append(await _offsets_kept(client, found.kept_s[subject.topics.events]))
    except Exit as end:
        found.lines.append(refused(check, end))
        return found
    configs = [topics[name].configs for name in names.values() if name in topics and topics[name].configs]
    if len(configs) == len(names):
        found.lines += keeping.letters(*configs)
    if (events := topics.get(subject.topics.events)) is not None:
        found.lines += await _group_and_records(subject, kafka, events, found.kept_s)
    return found


def _compared(specs: Sequence[TopicSpec], topics: Mapping[str, Topic]) -> Iterator[Line]:
    """What `lastlogin topics plan` would say of topics that are there."""
    existing = {
        name: Existing(len(each.partitions), min(len(part.replicas) for part in each.partitions), each.configs)
        for name, each in topics.items()
        if each.configs
    }
    for spec in specs:
        if spec.name not in existing:
            continue
        other = [
            f"{line.setting} is {line.existing}, wanted {line.wanted}"
            for line in plan([spec], existing)
            if line.action is not Action.KEEP and line.setting not in _JUDGED
        ]
        if other:
            do = "see `lastlogin topics plan`, or mend [topics] of lastlogin.toml"
            yield warning("kafka.plan", f"{spec.name}: {'; '.join(other)}", do)
        else:
            yield ok("kafka.plan", f"{spec.name}: as lastlogin.toml wants it")


async def _offsets_kept(client: AIOKafkaAdminClient, events_s: float | None) -> Line:
    brokers = (await client.describe_cluster())["brokers"]
    asked = ConfigResource(ConfigResourceType.BROKER, str(brokers[0]["node_id"]), configs={_OFFSETS_KEPT: ""})
    (response,) = await client.describe_configs([asked])
    ((code, _, _, _, entries),) = response.resources
    if code:
        found = "how long the brokers keep offsets is not known: our user may not see their settings"
        do = f"grant DescribeConfigs on the cluster, or look at {_OFFSETS_KEPT} (7 days unless changed)"
        return warning("keeping.offsets", found, do)
    return keeping.offsets(int(entries[0][1]), events_s)


async def _group_and_records(
    subject: Subject, kafka: KafkaSettings, events: Topic, kept_s: Mapping[str, float | None]
) -> list[Line]:
    partitions = [TopicPartition(subject.topics.events, each.number) for each in events.partitions]
    described, lines = await _described(subject, kafka)
    positions: list[Position] = []
    unreadable: dict[TopicPartition, int] = {}
    try:
        async with asyncio.timeout(_DEADLINE_S), reading(kafka, "lastlogin-doctor") as consumer:
            first, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
            if described is not None:
                positions = [
                    Position(each.partition, first[each], ends[each], described.committed.get(each))
                    for each in partitions
                ]
                lines.append(group.members(described.group, positions))
                lines += group.offsets(subject.group, positions)
                waiting = {partitions[n]: each.next for n, each in enumerate(positions) if each.next < each.end}
                oldest = await few.read(consumer, waiting, 1, _READ_S)
                unreadable = oldest.unreadable
                age_s = _oldest_s(oldest, waiting)
                lines.append(group.lag(subject.group, positions, age_s, kept_s.get(subject.topics.events)))
            starts = {each: max(first[each], end - _NEWEST) for each, end in ends.items() if first[each] < end}
            newest = await few.read(consumer, starts, _NEWEST, _READ_S)
            lines += _clocks(newest, subject)
            # Of two in one partition, that where the group stands.
            unreadable = newest.unreadable | unreadable
            places = {each.partition: offset for each, offset in unreadable.items()}
            lines += group.unreadable(subject.topics.events, places, positions)
    except (TimeoutError, Exit) as why:
        words = why.message if isinstance(why, Exit) else f"Kafka did not answer within {_DEADLINE_S:g} s"
        lines.append(warning("kafka.records", f"not all that is on the topic could be read: {words}", "see kafka.read"))
    return lines


@dataclass(frozen=True, slots=True)
class _Described:
    group: Group
    committed: Mapping[TopicPartition, int]


async def _described(subject: Subject, kafka: KafkaSettings) -> tuple[_Described | None, list[Line]]:
    name = subject.group
    try:
        async with admin_client(kafka, _DEADLINE_S) as client:
            try:
                committed = await committed_offsets(client, name)
            except GroupAuthorizationFailedError:
                found = f"{name}: our user may not see that group"
                return None, [
                    error("group.read", found, f"grant {'Read' if subject.is_consumer else 'Describe'} on it")
                ]
            coordinator = await client.find_coordinator(name)
            answer = await client._send_request(GroupAndRights(name), coordinator)  # noqa: SLF001 - as topics.look
            told = answer.to_object()["groups"][0]
            if told["error_code"]:
                raise for_code(told["error_code"])
    except Exit as end:
        return None, [error("group.members", end.message, "look at Kafka's topic __consumer_offsets")]
    described = Group(name, len(told["members"]), told["authorized_operations"])
    # Below 0 is none.
    known = {each: offset for each, offset in committed.items() if offset >= 0}
    return _Described(described, known), [group.right(described)] if subject.is_consumer else []


def _oldest_s(found: Few, waiting: Mapping[TopicPartition, int]) -> float | None:
    """Seconds since the oldest record that waits reached Kafka; None: nothing waits, or it is not known."""
    if len(found.records) < len(waiting) or not waiting:
        return None
    oldest_ms: int = min(piece[0].timestamp for piece in found.records.values())
    return time.time() - oldest_ms / 1000


def _clocks(found: Few, subject: Subject) -> Iterator[Line]:
    records = [record for piece in found.records.values() for record in piece]
    logins = [
        (event.backend, event.login_at_us / 1e6 - record.timestamp / 1000)
        for record in records
        if isinstance(event := decoded(record, subject.schemas), LoginEvent)
    ]
    newest = max((record.timestamp / 1000 for record in records), default=None)
    yield clocks.own(newest, time.time(), kept=synchronised())
    yield from clocks.backends(logins, subject.future_limit_s)
