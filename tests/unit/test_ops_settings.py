"""Settings of the command."""

import pytest

from lastlogin_ops.settings import OpsSettings, WantedTopics
from lastlogin_schemas.topics import TopicSpec
from lastlogin_service.exits import Exit
from lastlogin_service.settings import load


def test_nothing_is_needed_to_start_with() -> None:
    """Each part is needed only by the subcommands that use it; half a part is refused."""
    settings = load(OpsSettings, None, {})

    assert (settings.kafka, settings.cassandra) == (None, None)
    with pytest.raises(Exit, match=r"kafka\.bootstrap_servers: missing"):
        load(OpsSettings, None, {"LASTLOGIN_KAFKA__SECURITY_PROTOCOL": "SSL"})


def test_from_the_environment() -> None:
    """Parts that may be missing are read from the environment all the same."""
    environ = {"LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS": "k1:9092,k2:9092", "LASTLOGIN_CASSANDRA__CONTACT_POINTS": "c1"}
    settings = load(OpsSettings, None, environ)

    assert settings.kafka is not None
    assert settings.kafka.bootstrap_servers == ["k1:9092", "k2:9092"]
    assert settings.cassandra is not None
    assert settings.cassandra.contact_points == ["c1"]


def test_variables_of_the_services() -> None:
    """The services' variables, whose prefixes begin with ours, are not taken for misspelt ones of ours."""
    environ = {
        "LASTLOGIN_PRODUCER_KAFKA__BOOTSTRAP_SERVERS": "k",
        "LASTLOGIN_CONSUMER_GROUP": "g",
        "LASTLOGIN_STACK_DIR": "/tmp/stack",  # noqa: S108 - a name, not used
    }
    assert load(OpsSettings, None, environ) == OpsSettings()
    with pytest.raises(Exit, match=r"LASTLOGIN_LAG__GRUOP: unknown variable - did you mean LASTLOGIN_LAG__GROUP\?"):
        load(OpsSettings, None, environ | {"LASTLOGIN_LAG__GRUOP": "g"})


def test_topics() -> None:
    """The wanted topics: events in all partitions, what is set aside in one, with room for a record and its story."""
    common = {
        "cleanup.policy": "delete",
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "1",
        "retention.ms": "259200000",
    }
    wanted = WantedTopics(
        events="e",
        quarantine="q",
        dead_letters="d",
        partitions=24,
        replication_factor=2,
        min_insync_replicas=1,
        retention_days=3,
    )
    assert wanted.specs() == [
        TopicSpec("e", 24, 2, common | {"max.message.bytes": "1048576"}),
        TopicSpec("q", 1, 2, common | {"max.message.bytes": "2097152"}),
        TopicSpec("d", 1, 2, common | {"max.message.bytes": "2097152"}),
    ]


def test_more_replicas_in_sync_than_there_are() -> None:
    """Topics that could never be written to are refused, as are two kinds of message in one topic."""
    with pytest.raises(Exit) as caught:
        load(OpsSettings, None, {"LASTLOGIN_TOPICS__REPLICATION_FACTOR": "1", "LASTLOGIN_TOPICS__QUARANTINE": "x"})
    assert caught.value.message == (
        "LASTLOGIN_TOPICS__MIN_INSYNC_REPLICAS: topics.min_insync_replicas: 2 - must be at most replication_factor, 1"
    )
    with pytest.raises(Exit, match="must be another topic than events"):
        load(OpsSettings, None, {"LASTLOGIN_TOPICS__QUARANTINE": "lastlogin.events"})
