"""`lastlogin topics` on a real Kafka, seen with a client that it does not use."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
)

from lastlogin_stack.layout import Layout
from tests.support.command import Ended, lastlogin


_DEADLINE_S = 20.0

Run = Callable[..., Ended]


class Cluster:
    """What another client sees of this test's topics."""

    def __init__(self, layout: Layout) -> None:
        self.prefix = f"t{uuid4().hex[:12]}"
        self._servers = {"bootstrap.servers": layout.kafka_bootstrap, "log_level": 0}
        self._admin = AdminClient(self._servers)

    def name(self, kind: str) -> str:
        """Name of this test's topic of a kind."""
        return f"{self.prefix}.{kind}"

    def topics(self) -> dict[str, int]:
        """Partitions of each topic of this test, by kind."""
        found = self._admin.list_topics(timeout=_DEADLINE_S).topics
        return {
            name.removeprefix(f"{self.prefix}."): len(topic.partitions)
            for name, topic in found.items()
            if name.startswith(self.prefix)
        }

    def configs(self, kind: str) -> dict[str, str]:
        """Settings of a topic."""
        resource = ConfigResource("topic", self.name(kind))
        entries = self._admin.describe_configs([resource])[resource].result(_DEADLINE_S)
        return {name: entry.value for name, entry in entries.items()}

    def create(self, kind: str, partitions: int) -> None:
        """Make a topic with nothing but partitions."""
        name = self.name(kind)
        self._admin.create_topics([NewTopic(name, partitions, 1)])[name].result(_DEADLINE_S)

    def set(self, kind: str, name: str, value: str) -> None:
        """Change one setting of a topic."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource("topic", self.name(kind), incremental_configs=[entry])
        self._admin.incremental_alter_configs([resource])[resource].result(_DEADLINE_S)

    def write(self, kind: str) -> None:
        """Write a record, acknowledged by all replicas in sync. Raises AssertionError."""
        producer = Producer({**self._servers, "acks": "all", "message.timeout.ms": 10_000})
        failures: list[object] = []
        producer.produce(self.name(kind), b"x", on_delivery=lambda error, _: failures.append(error))
        assert producer.flush(_DEADLINE_S) == 0
        assert failures == [None]

    def delete(self) -> None:
        """Delete this test's topics."""
        if names := [self.name(kind) for kind in self.topics()]:
            for future in self._admin.delete_topics(names).values():
                future.result(_DEADLINE_S)


@pytest.fixture
def cluster(stack: Layout) -> Iterator[Cluster]:
    """Topics of this test's own."""
    cluster = Cluster(stack)
    yield cluster
    cluster.delete()


@pytest.fixture
def run(stack: Layout, cluster: Cluster) -> Run:
    """Run `lastlogin topics` with this test's names, for a single broker."""
    names = {f"TOPICS__{kind.upper()}": cluster.name(kind) for kind in ("events", "quarantine", "dead_letters")}
    single = {"TOPICS__REPLICATION_FACTOR": "1", "TOPICS__MIN_INSYNC_REPLICAS": "1"}

    def topics(subcommand: str, **variables: str) -> Ended:
        return lastlogin(stack, "topics", subcommand, **{**names, **single, **variables})

    return topics


def test_from_nothing(run: Run, cluster: Cluster) -> None:
    """`plan` makes nothing, `apply` makes everything as wanted, and then both have nothing to do."""
    first = run("plan")
    assert (first.code, first.err, cluster.topics()) == (1, "", {})
    assert first.out.count("create") == 3 * 7

    made = run("apply", TOPICS__RETENTION_DAYS="3")
    assert (made.code, made.err) == (0, "")
    assert made.out.splitlines()[-3:] == [
        f"{cluster.name(kind)}: created" for kind in ("events", "quarantine", "dead_letters")
    ]
    assert cluster.topics() == {"events": 12, "quarantine": 1, "dead_letters": 1}
    for kind, size in {"events": "1048576", "quarantine": "2097152", "dead_letters": "2097152"}.items():
        configs = cluster.configs(kind)
        assert configs["cleanup.policy"] == "delete"
        assert configs["max.message.bytes"] == size
        assert configs["message.timestamp.type"] == "LogAppendTime"
        assert configs["min.insync.replicas"] == "1"
        assert configs["retention.ms"] == str(3 * 86_400_000)

    assert run("plan", TOPICS__RETENTION_DAYS="3").code == 0
    again = run("apply", TOPICS__RETENTION_DAYS="3")
    assert (again.code, again.out.splitlines()[-1]) == (0, "Nothing was changed.")


def test_changes(run: Run, cluster: Cluster) -> None:
    """What differs is changed, partitions are added and never removed, and foreign settings stay as they are."""
    run("apply")
    cluster.set("events", "segment.ms", "86400000")
    cluster.set("events", "message.timestamp.type", "CreateTime")
    cluster.set("dead_letters", "retention.ms", "1000000")

    plan = run("plan", TOPICS__PARTITIONS="14")
    assert plan.code == 1
    assert plan.out.count("change") == 2
    done = run("apply", TOPICS__PARTITIONS="14")

    assert done.code == 0
    assert done.out.splitlines()[-3:] == [
        f"{cluster.name('events')}: partitions: 12 -> 14",
        f"{cluster.name('events')}: message.timestamp.type: CreateTime -> LogAppendTime",
        f"{cluster.name('dead_letters')}: retention.ms: 1000000 -> 604800000",
    ]
    assert cluster.topics()["events"] == 14
    assert cluster.configs("events")["segment.ms"] == "86400000"
    assert cluster.configs("events")["message.timestamp.type"] == "LogAppendTime"
    assert cluster.configs("dead_letters")["retention.ms"] == "604800000"
    assert run("plan", TOPICS__PARTITIONS="2").code == 0


def test_replication_by_hand(run: Run, cluster: Cluster) -> None:
    """Topics with too few replicas stay writable: what only a person can do is told, and remains to be done."""
    run("apply")

    done = run("apply", TOPICS__REPLICATION_FACTOR="3", TOPICS__MIN_INSYNC_REPLICAS="2")

    assert done.code == 1
    assert done.out.count("by hand: it moves data: use kafka-reassign-partitions.sh") == 3
    assert done.out.count("by hand: every write would fail: raise the replication factor first") == 3
    assert done.out.splitlines()[-1] == "Nothing was changed."
    assert cluster.configs("events")["min.insync.replicas"] == "1"
    cluster.write("events")


def test_topic_made_by_somebody_else(run: Run, cluster: Cluster) -> None:
    """A topic that was made with the brokers' defaults becomes one of ours, the others are made."""
    cluster.create("events", 1)

    assert run("apply").code == 0

    assert cluster.topics() == {"events": 12, "quarantine": 1, "dead_letters": 1}
    assert cluster.configs("events")["message.timestamp.type"] == "LogAppendTime"


@pytest.mark.parametrize("subcommand", ["plan", "apply"])
def test_too_few_brokers(run: Run, cluster: Cluster, subcommand: str) -> None:
    """More replicas than brokers are refused in a sentence that says what to do, and nothing is made."""
    ended = run(subcommand, TOPICS__REPLICATION_FACTOR="3", TOPICS__MIN_INSYNC_REPLICAS="2")

    assert (ended.code, ended.out, cluster.topics()) == (78, "", {})
    assert ended.err == (
        "lastlogin: topics.replication_factor is 3, but Kafka has 1 broker up: start more, or, where losing a broker "
        "may lose logins, set LASTLOGIN_TOPICS__REPLICATION_FACTOR=1 and LASTLOGIN_TOPICS__MIN_INSYNC_REPLICAS=1\n"
    )


def test_wrong_protocol(run: Run) -> None:
    """TLS to a port without is a sentence that names the setting."""
    ended = run("plan", KAFKA__SECURITY_PROTOCOL="SSL")

    assert (ended.code, ended.out) == (69, "")
    assert ended.err.count("\n") == 1
    assert "the port has another kafka.security_protocol" in ended.err
