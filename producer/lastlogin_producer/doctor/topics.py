"""Kafka's side of it: whether we are let in, the topics, their replicas, and our right to write."""

from lastlogin_service.doctor.report import Line
from lastlogin_service.doctor.rights import Operation
from lastlogin_service.doctor.topics import let_in, refused, setting_lines
from lastlogin_service.doctor.topics import look as look_at_topics
from lastlogin_service.exits import Exit
from lastlogin_service.kafka import KafkaSettings, TopicSettings
from lastlogin_service.kafka_admin import admin_client


_DEADLINE_S = 5.0


async def look(kafka: KafkaSettings, topics: TopicSettings) -> list[Line]:
    """Log in and look at the topics that a producer writes."""
    names = {"events": topics.events, "quarantine": topics.quarantine}
    lines: list[Line] = []
    try:
        async with admin_client(kafka, _DEADLINE_S) as client:
            lines.append(let_in(kafka))
            lines += await setting_lines(client, names)
            found, _ = await look_at_topics(
                client, dict.fromkeys(names.values(), Operation.WRITE), "see the round trip instead"
            )
            lines += found
    except Exit as end:
        lines.append(refused("kafka.topics" if lines else "kafka.login", end))
    return lines
