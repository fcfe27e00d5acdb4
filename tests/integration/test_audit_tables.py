"""`lastlogin audit` of tables of every shape, and of rows that Cassandra has forgotten."""

from pathlib import Path
from random import Random

import pytest

from lastlogin_ops.audit.rows import table
from lastlogin_service.cassandra import CassandraSettings
from tests.support.audited import SERVICES, Audited, details, logins
from tests.support.consumer import ConsumerProcess


@pytest.mark.parametrize(("key", "address_type"), [("userid, service", "text"), ("(userid, service)", "inet")])
def test_a_row_per_service(world: Audited, tmp_path: Path, key: str, address_type: str) -> None:
    """Tables with a row per user and service, whatever their partitions, and with addresses as text are audited."""
    # The column of the service stands before that of the user, by name.
    world.session.execute(
        f'CREATE TABLE statsdb."{world.table.name}_S" '
        f"(userid text, service text, last_access timestamp, last_ip {address_type}, PRIMARY KEY ({key}))"
    )
    shape = {
        "CASSANDRA__TABLE": f"{world.table.name}_S",
        "COLUMNS__USER": "userid",
        "COLUMNS__SERVICE": "service",
        "COLUMNS__TIME": "last_access",
        "COLUMNS__ADDRESS": "last_ip",
        "COLUMNS__ADDRESS_TYPE": address_type,
    }
    table = f'statsdb."{world.table.name}_S"'
    world.topics.publish(*logins(world, Random(5), 500), world.login("u1@example.org", service="sieve"))  # noqa: S311
    last = world.login("gone", ip="2001:db8::9")
    world.topics.publish(last, world.login("moved", ip="192.0.2.7"))
    with ConsumerProcess(world.layout, world.topics, tmp_path, **shape) as process:
        process.wait_for("assigned")
        process.wait_until(lambda: world.topics.lag(process.group) == 0)
        assert 0 == process.stop()
    right = world.found(0, **shape)["rows"]
    rows = world.session.execute(f"SELECT count(*) FROM {table}").one()[0]
    world.session.execute(
        f"DELETE FROM {table} USING TIMESTAMP {world.now_us} WHERE userid = 'gone' AND service = 'imap'"
    )
    world.session.execute(
        f"INSERT INTO {table} (userid, service, last_ip) VALUES ('moved', 'imap', '203.0.113.9') "
        f"USING TIMESTAMP {world.now_us + 1}"
    )
    world.session.execute(f"INSERT INTO {table} (userid, service) VALUES ('u1@example.org', 'sieve')")
    found = world.found(1, **shape)
    world.session.execute(f"DROP TABLE {table}")

    assert right["right"] == rows > 200
    assert details(found) == [("address", "moved", "imap"), ("missing", "gone", "imap")]
    assert found["rows"]["right"] == rows - 2
    assert ["2001:db8::9", "192.0.2.7"] == [
        each["event"]["address"] for each in sorted(found["details"], key=lambda each: each["user"])
    ]


def test_what_cassandra_forgets(world: Audited, tmp_path: Path) -> None:
    """A login older than `ttl_s`, or the table's own default, is not missing; what is missing without it is with it."""
    world.topics.publish(
        world.login("kept"),
        world.login("forgotten", -2_000_000_000),
        world.login("came back", -2_000_000_000),
        world.login("came back"),
    )
    with ConsumerProcess(
        world.layout, world.topics, tmp_path, CASSANDRA__TABLE=world.table.name, TTL_S="1000"
    ) as process:
        process.wait_for("assigned")
        process.wait_until(lambda: world.topics.lag(process.group) == 0)
        assert 0 == process.stop()

    assert details(world.found(1)) == [("missing", "forgotten", "imap")]
    rows = world.found(0, TTL_S="1000")["rows"]
    assert (rows["right"], rows["expired"]) == (2, 1)
    world.table.alter("WITH default_time_to_live = 1000")
    assert rows == world.found(0)["rows"]
    world.execute("DELETE last_login_imap FROM " + world.mapping.qualified_table, world.login("kept"))
    assert details(world.found(1)) == [("missing", "kept", "imap")]


def test_a_table_without_addresses(world: Audited) -> None:
    """Columns that the table does not have are not looked at."""
    world.table.alter("DROP (remote_ip_imap, last_login_lmtp, remote_ip_lmtp)")
    event = world.login("a")
    world.topics.publish(event, world.login("a", service="lmtp"))
    world.session.execute(
        f"INSERT INTO {world.mapping.qualified_table} (user, last_login_imap) "
        f"VALUES ('a', {event.login_at_us // 1000}) USING TIMESTAMP {event.login_at_us}"
    )
    world.commit()

    found = world.found(0)

    assert (found["rows"]["right"], found["events"]["unmapped"]) == (1, 1)


def test_pages(world: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the pages are, every row comes once."""
    monkeypatch.setattr("lastlogin_ops.audit.rows._PAGE_ROWS", 2)
    monkeypatch.setattr("lastlogin_ops.audit.rows.PARTS", 3)
    world.write(*(world.login(f"u{number}", service=SERVICES[number % 4]) for number in range(101)))
    settings = CassandraSettings(
        contact_points=[world.layout.cassandra_address], port=world.layout.cassandra_port, table=world.table.name
    )

    with table(settings, world.mapping) as opened:
        pages = list(opened.pages())

    assert len(pages) > 50
    assert 3 == sum(parts for _, parts in pages)
    found = [(user.decode(), service) for rows, _ in pages for user, service, *_ in rows]
    assert sorted(found) == sorted((f"u{number}", number % 4) for number in range(101))
