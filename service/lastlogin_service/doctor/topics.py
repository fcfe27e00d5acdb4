"""Kafka's side of it: whether we are let in, the topics, their replicas, and our rights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from lastlogin_service.doctor.replicas import Partition, replica_lines
from lastlogin_service.doctor.report import Line, error, ok, warning
from lastlogin_service.doctor.rights import Operation, TopicsAndRights, allows
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.kafka import KafkaSettings
from lastlogin_service.topics import topic_configs, topic_findings


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is; `configs` are empty where we may not see them."""

    partitions: Sequence[Partition]
    configs: Mapping[str, str]


def let_in(kafka: KafkaSettings) -> Line:
    """Kafka has taken our login."""
    whom = f"as {kafka.sasl_username} ({kafka.sasl_mechanism})" if kafka.uses_sasl else "without a name"
    return ok("kafka.login", f"{kafka.security_protocol}, {whom}")


def refused(check: str, end: Exit) -> Line:
    """Kafka, or our way to it, has ended the look."""
    do = "look at [kafka]: user, password, certificates, security_protocol" if end.code == CONFIG else "look at Kafka"
    return error(check, end.message, do)


async def setting_lines(client: AIOKafkaAdminClient, names: Mapping[str, str]) -> list[Line]:
    """Whether the topics, named by key of `[topics]`, have the settings that promises rest on."""
    check = "kafka.topics"
    lines = []
    for finding in await topic_findings(client, names):
        found, _, do = finding.sentence.rpartition("; ")
        level = warning if finding.code is None else error
        lines.append(level(check, found or finding.sentence, do if found else "grant it; the rest was looked at"))
    return lines or [ok(check, f"{' and '.join(names.values())}: there, with the right settings")]


async def look(
    client: AIOKafkaAdminClient, rights: Mapping[str, Operation], elsewhere: str
) -> tuple[list[Line], dict[str, Topic]]:
    """Look at topics that may be there, each with the right that is needed on it.

    `elsewhere` is what to do when the brokers do not tell our rights. Topics that are not there are left out.
    """
    try:
        answer = await client._send_request(TopicsAndRights(list(rights)))  # noqa: SLF001 - it has no request of its own for it
    except NotImplementedError:
        found = "brokers before 2.3 do not tell our rights"
        return [warning(right_check(right), found, elsewhere) for right in dict.fromkeys(rights.values())], {}
    cluster = answer.to_object()
    brokers = len(cluster["brokers"])
    lines: list[Line] = []
    topics: dict[str, Topic] = {}
    for found_topic in cluster["topics"]:
        if found_topic["error_code"]:
            continue
        name = found_topic["topic"]
        lines.append(_right(name, rights[name], found_topic["authorized_operations"], elsewhere))
        code, _, entries = await topic_configs(client, name)
        configs = {} if code else {entry[0]: entry[1] or "" for entry in entries}
        needed = int(configs["min.insync.replicas"]) if configs else None
        topics[name] = Topic([_partition(each) for each in found_topic["partitions"]], configs)
        lines += replica_lines(name, topics[name].partitions, needed, brokers)
    return lines, topics


def right_check(right: Operation) -> str:
    """Name of the check of a right on a topic."""
    return f"kafka.{right.name.lower()}"


def _partition(found: Mapping[str, Any]) -> Partition:
    return Partition(found["partition"], found["leader"], found["replicas"], found["isr"])


def _right(name: str, right: Operation, operations: int, elsewhere: str) -> Line:
    check, verb = right_check(right), right.name.lower()
    match allows(operations, right):
        case True:
            return ok(check, f"{name}: our user may {verb}")
        case False:
            return error(check, f"{name}: our user may not {verb}", f"grant {right.name.capitalize()} on it")
        case _:
            return warning(check, f"{name}: the brokers do not tell our rights", elsewhere)
