"""Settings of the consumer."""

import pytest

from lastlogin_consumer.compact import WindowLimits
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_schemas.schema import LOGIN_EVENT_V1
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.settings import load


REQUIRED = {
    "LASTLOGIN_CONSUMER_KAFKA__BOOTSTRAP_SERVERS": "kafka1.example.org:9092",
    "LASTLOGIN_CONSUMER_CASSANDRA__CONTACT_POINTS": "cassandra1.example.org",
}


def _load(**variables: str) -> ConsumerSettings:
    named = {f"LASTLOGIN_CONSUMER_{name}": value for name, value in variables.items()}
    return load(ConsumerSettings, None, REQUIRED | named)


def test_defaults() -> None:
    """With nothing but the servers: a row within a second, and what waits is bounded."""
    settings = _load()

    assert "lastlogin-consumer" == settings.group
    assert WindowLimits(0.2, 50_000, 33_554_432) == settings.limits
    assert (300.0, 10.0) == (settings.future_limit_s, settings.shutdown.deadline_s)
    assert {} == settings.schemas


def test_schema_ids_name_versions() -> None:
    """A registry id stands for a version of the schema."""
    assert {17: LOGIN_EVENT_V1} == _load(SCHEMA_IDS='{"17": 1}').schemas


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("SCHEMA_IDS", '{"17": 99}', "schema_ids"),
        ("LINGER_S", "-1", "linger_s"),
        ("GROUP", "x" * 250, "group"),
        ("WINDOW__MAX_RECORDS", "0", "window.max_records"),
        ("CASSANDRA__KEYSPACE", "x; DROP", "cassandra.keyspace"),
        ("LINGER", "1", "LINGER"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, value: str, key: str) -> None:
    """A bad value or an unknown name ends the start with code 78 and says which one it is."""
    with pytest.raises(Exit) as refused:
        _load(**{name: value})

    assert CONFIG == refused.value.code
    assert key in refused.value.message
