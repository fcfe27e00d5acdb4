"""Topics in Kafka: seen, made, changed."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from lastlogin_ops.plan import Action, Existing, Line, plan
from lastlogin_schemas.topics import TopicSpec
from lastlogin_service.counting import counted
from lastlogin_service.exits import CONFIG, UNAVAILABLE, Exit
from lastlogin_service.kafka import KafkaSettings
from lastlogin_service.kafka_admin import admin_client, check
from lastlogin_service.topics import topic_configs


# A change is told to all brokers within a second; some seconds for a busy controller.
_SETTLE_S = 15.0
_SETTLE_POLL_S = 0.2

_UNKNOWN_TOPIC = 3
_TOPIC_ALREADY_EXISTS = 36
# DescribeConfigs: set on this topic, as opposed to inherited.
_SET_ON_THE_TOPIC = 1


async def planned(settings: KafkaSettings, specs: Sequence[TopicSpec]) -> list[Line]:
    """Compare what Kafka has with `specs`.

    Raises `Exit` when Kafka is away (69), or has too few brokers for a topic that is to be made (78).
    """
    async with admin_client(settings) as client:
        return await _planned(client, specs)


async def apply(settings: KafkaSettings, specs: Sequence[TopicSpec]) -> tuple[list[Line], list[Line]]:
    """Make the topics as `specs` say, and return the plan before and after.

    What only a person can do remains in the plan after. Safe to repeat and to interrupt. Raises as `planned`.
    """
    async with admin_client(settings) as client:
        before = await _planned(client, specs)
        by_name = {spec.name: spec for spec in specs}
        await _create(client, [by_name[name] for name in _topics(before, Action.CREATE)])
        for name in _topics(before, Action.ADD_PARTITIONS):
            # Which partition a user's events go to changes: harmless, the newest wins in any order.
            await client.create_partitions({name: NewPartitions(by_name[name].partitions)})
        for name in _topics(before, Action.ALTER):
            await _alter(client, name, {line.setting: line.wanted for line in before if _alters(line, name)})
        return before, await _settled(client, specs)


async def _settled(client: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> list[Line]:
    deadline = time.monotonic() + _SETTLE_S
    while True:
        after = await _planned(client, specs)
        if all(line.action in (Action.KEEP, Action.BY_HAND) for line in after):
            return after
        if time.monotonic() > deadline:
            raise Exit(UNAVAILABLE, "Kafka took the changes, but does not show all of them yet; look again")
        await asyncio.sleep(_SETTLE_POLL_S)


async def _planned(client: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> list[Line]:
    lines = plan(specs, await _existing(client, [spec.name for spec in specs]))
    brokers = len((await client.describe_cluster())["brokers"])
    wanted = max((s.replication_factor for s in specs if s.name in _topics(lines, Action.CREATE)), default=0)
    if wanted > brokers:
        raise Exit(
            CONFIG,
            f"topics.replication_factor is {wanted}, but Kafka has {counted(brokers, 'broker')} up: "
            "start more, or, where losing a broker may lose logins, set LASTLOGIN_TOPICS__REPLICATION_FACTOR="
            f"{brokers} and LASTLOGIN_TOPICS__MIN_INSYNC_REPLICAS={max(brokers - 1, 1)}",
        )
    return lines


async def _existing(client: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, Existing]:
    # All topics: asking for one by name may create it, where the brokers are set so.
    found = {topic["topic"]: topic["partitions"] for topic in await client.describe_topics()}
    existing = {}
    for name in names:
        # A broker that has not heard of a new topic yet names no settings of it; the next one asked may have.
        if found.get(name) and (configs := await _configs(client, name)):
            existing[name] = Existing(
                partitions=len(found[name]),
                replication_factor=min(len(partition["replicas"]) for partition in found[name]),
                configs={key: value for key, (value, _) in configs.items()},
            )
    return existing


async def _configs(client: AIOKafkaAdminClient, name: str) -> dict[str, tuple[str, bool]]:
    """Settings of a topic, each with whether it is set on the topic itself; none where the broker does not know it."""
    code, message, entries = await topic_configs(client, name)
    if code == _UNKNOWN_TOPIC:
        return {}
    check(code, f"see the settings of the topic {name}", message)
    return {key: (value or "", source == _SET_ON_THE_TOPIC) for key, value, _, source, *_ in entries}


async def _create(client: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    if not specs:
        return
    response = await client.create_topics(
        [NewTopic(spec.name, spec.partitions, spec.replication_factor, topic_configs=spec.configs) for spec in specs]
    )
    for name, code, message in response.topic_errors:
        if code != _TOPIC_ALREADY_EXISTS:
            check(code, f"create the topic {name}", message)


async def _alter(client: AIOKafkaAdminClient, name: str, changes: Mapping[str, str]) -> None:
    # aiokafka has only the old AlterConfigs, which resets every setting that it is not given.
    kept = {key: value for key, (value, ours) in (await _configs(client, name)).items() if ours}
    (response,) = await client.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name, configs={**kept, **changes})]
    )
    for code, message, _, _ in response.resources:
        check(code, f"change the settings of the topic {name}", message)


def _topics(lines: Iterable[Line], action: Action) -> list[str]:
    return list(dict.fromkeys(line.topic for line in lines if line.action is action))


def _alters(line: Line, topic: str) -> bool:
    return line.topic == topic and line.action is Action.ALTER
