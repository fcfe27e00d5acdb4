"""Settings of the consumer."""

from pathlib import Path

import pytest

from lastlogin_consumer.compact import WindowLimits
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_schemas.schema import LOGIN_EVENT_V1
from lastlogin_schemas.table import ServiceColumns, TableMapping
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
        ("SCHEMA_IDS", '{"17": true}', "schema_ids.17"),
        ("LINGER_S", "-1", "linger_s"),
        ("GROUP", "x" * 250, "group"),
        ("WINDOW__MAX_RECORDS", "0", "window.max_records"),
        ("CASSANDRA__KEYSPACE", "x; DROP", "cassandra.keyspace"),
        ("CASSANDRA__TABLE", 'a"b', "cassandra.table"),
        ("CASSANDRA__KEYSPACE", "x" * 49, "cassandra.keyspace"),
        ("COLUMNS__USER", 'user" = 1; --', "columns.user"),
        ("COLUMNS__SERVICE", "x; DROP", "columns.service"),
        ("COLUMNS__TIME", "{service}{service}", "columns.time"),
        ("COLUMNS__TIME", "same", "columns.time"),
        ("COLUMNS__ADDRESS", "user", "columns.time"),
        ("COLUMNS__ADDRESS", "a b", "columns.address"),
        ("COLUMNS__ADDRESS_TYPE", "blob", "columns.address_type"),
        ("COLUMNS__SERVICES", "imap,a/b", "columns.services"),
        ("COLUMNS__SERVICES", "imap,indexer-worker", "columns.times"),
        ("COLUMNS__TIMES", '{"lmtp": "a b"}', "columns.times"),
        ("COLUMNS__TIMES", '{"sieve": "at"}', "columns.times"),
        ("COLUMNS__SERVICE", "service", "columns.time"),
        ("UNMAPPED", "drop", "unmapped"),
        ("TTL_S", "0", "ttl_s"),
        ("TTL_S", "630720001", "ttl_s"),
        ("LINGER", "1", "LINGER"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, value: str, key: str) -> None:
    """A bad value or an unknown name ends the start with code 78 and says which one it is."""
    with pytest.raises(Exit) as refused:
        _load(**{name: value})

    assert CONFIG == refused.value.code
    assert key in refused.value.message


def test_the_manuals_columns() -> None:
    """Without a word of the table it is the manual's."""
    assert TableMapping() == _load().table


def test_a_ttl() -> None:
    """It belongs to the table that is written."""
    assert TableMapping(ttl_s=86_400) == _load(TTL_S="86400").table


def test_columns_of_ones_own(tmp_path: Path) -> None:
    """A service may have any column; names with capitals stay as they are; an empty one keeps no addresses."""
    file = tmp_path / "consumer.toml"
    file.write_text("""
        [cassandra]
        keyspace = "Stats"
        [columns]
        services = ["imap", "lmtp", "indexer-worker"]
        time = "last_{service}_access"
        address = ""
        times = { indexer-worker = "indexed", lmtp = "Last_Delivery" }
        addresses = { imap = "last_ip" }
    """)
    table = load(ConsumerSettings, file, REQUIRED).table

    assert ("Stats", "user") == (table.keyspace, table.user)
    assert {
        "imap": ServiceColumns("last_imap_access", "last_ip"),
        "lmtp": ServiceColumns("Last_Delivery", None),
        "indexer-worker": ServiceColumns("indexed", None),
    } == table.services


def test_a_row_per_service() -> None:
    """All services share the two columns; their own are refused."""
    shape = {"COLUMNS__SERVICE": "service", "COLUMNS__TIME": "last_access", "COLUMNS__ADDRESS": "last_ip"}
    table = _load(**shape, COLUMNS__USER="userid", COLUMNS__ADDRESS_TYPE="text").table

    assert [
        ("userid", "text"),
        ("service", "text"),
        ("last_access", "timestamp"),
        ("last_ip", "text"),
    ] == table.columns()
    with pytest.raises(Exit, match=r"columns\.addresses: .*must not be given, because service is"):
        _load(**shape, COLUMNS__ADDRESSES='{"imap": "ip"}')
