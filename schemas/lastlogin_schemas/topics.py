"""The topics: names, and the settings that the promises rest on."""

from dataclasses import dataclass


EVENTS = "lastlogin.events"
QUARANTINE = "lastlogin.quarantine"
DEAD_LETTERS = "lastlogin.dlq"

# Below Cassandra's default gc_grace_seconds (10 days): a replay cannot bring erased users back.
RETENTION_DAYS = 7
_DAY_MS = 86_400_000
_MIB = 1_048_576


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be; `configs` are Kafka's own topic settings."""

    name: str
    partitions: int
    replication_factor: int
    configs: dict[str, str]


def topic_spec(
    name: str,
    *,
    partitions: int,
    replication_factor: int,
    min_insync_replicas: int,
    retention_days: int = RETENTION_DAYS,
    max_message_bytes: int = _MIB,
) -> TopicSpec:
    """Spec of one of our topics.

    Append time: with login times a backlog drained after a week would be deleted before it is read, and one
    host whose clock runs ahead would fail whole batches. Deleted by age, never compacted: compaction keeps the
    highest offset, not the newest login.
    """
    return TopicSpec(
        name=name,
        partitions=partitions,
        replication_factor=replication_factor,
        configs={
            "cleanup.policy": "delete",
            "max.message.bytes": str(max_message_bytes),
            "message.timestamp.type": "LogAppendTime",
            "min.insync.replicas": str(min_insync_replicas),
            "retention.ms": str(retention_days * _DAY_MS),
        },
    )


# A set-aside record carries a whole record and its story: it must fit where the record itself just did.
SET_ASIDE_MAX_MESSAGE_BYTES = 2 * _MIB
