"""Whether the topics in Kafka are what the services need. `setting_faults` is pure, the rest asks."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAuthorizationFailedError, for_code

from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.kafka import KafkaSettings, client_options
from lastlogin_service.kafka_admin import admin_client, start
from lastlogin_service.preflight import DEADLINE_S, Finding


_MEND = "mend it with `lastlogin topics apply`"


def setting_faults(configs: Mapping[str, str]) -> list[str]:
    """Settings of a topic with which promises cannot be kept: what each is, must be, and why."""
    faults = []
    if (value := configs.get("message.timestamp.type")) != "LogAppendTime":
        faults.append(
            f"message.timestamp.type is {value}, must be LogAppendTime: else a login from a wrong clock is not noticed"
        )
    if "compact" in (value := configs.get("cleanup.policy", "")):
        faults.append(
            f"cleanup.policy is {value}, must be delete: compaction keeps the highest offset, not the newest login"
        )
    return faults


async def topic_configs(client: AIOKafkaAdminClient, name: str) -> tuple[int, str | None, Sequence[Any]]:
    """Kafka's error code and message (0 and none when all is well), and the entries of DescribeConfigs."""
    (response,) = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    ((code, message, _, _, entries),) = response.resources
    return code, message, entries


async def topic_findings(client: AIOKafkaAdminClient, topics: Mapping[str, str]) -> list[Finding]:
    """Look at `topics`, name by key of `[topics]`. Raises aiokafka's KafkaError."""
    # All topics: asking for one by name may create it, where the brokers are set so.
    existing = set(await client.list_topics())
    found = []
    for key, name in topics.items():
        where = f"topics.{key}: {name}"
        if name not in existing:
            missing = "no such topic, or no right to see it; make it with `lastlogin topics apply`"
            found.append(Finding(f"{where}: {missing}", CONFIG))
            continue
        code, message, entries = await topic_configs(client, name)
        if code == TopicAuthorizationFailedError.errno:
            found.append(Finding(f"{where}: its settings could not be checked: grant DescribeConfigs on it"))
        elif code:
            raise for_code(code)(message)
        else:
            faults = setting_faults({entry[0]: entry[1] or "" for entry in entries})
            found += [Finding(f"{where}: {fault}; {_MEND}", CONFIG) for fault in faults]
    return found


async def look_at_topics(settings: KafkaSettings, topics: Mapping[str, str]) -> list[Finding]:
    """Connect and look, as `topic_findings`, for as long as `[kafka]` allows. Raises aiokafka's KafkaError."""
    client = AIOKafkaAdminClient(**client_options(settings, "lastlogin-check"))
    try:
        await start(client)
        return await topic_findings(client, topics)
    finally:
        await client.close()


async def check_topics(settings: KafkaSettings, topics: Mapping[str, str]) -> list[Finding]:
    """Look, as `topic_findings`, within the deadline of a check.

    Raises `Exit`: 78 when Kafka refuses us, 69 when it is away.
    """
    async with admin_client(settings, DEADLINE_S) as client:
        return await topic_findings(client, topics)


async def partitions_of(settings: KafkaSettings, topic: str, key: str) -> list[TopicPartition]:
    """The partitions of a topic that the setting `key` names. Raises `Exit`: it is missing (78), Kafka is away (69)."""
    async with admin_client(settings) as admin:
        # All topics: asking for one by name may create it, where the brokers are set so.
        topics = {found["topic"]: found["partitions"] for found in await admin.describe_topics()}
    if not topics.get(topic):
        raise Exit(CONFIG, f"Kafka has no topic {topic}, or the user in [kafka] may not see it; see {key}")
    return sorted(TopicPartition(topic, found["partition"]) for found in topics[topic])
