"""Tables of other shapes on a real Cassandra: what the consumer writes into them, and `lastlogin show` reads."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from cassandra.cmurmur3 import murmur3

from lastlogin_schemas.table import TableMapping
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.command import lastlogin
from tests.support.consumer import ConsumerProcess
from tests.support.logins import login
from tests.support.process import wait_until
from tests.support.topics import Topics, own_topics


BY_SERVICE = {
    "COLUMNS__USER": "userid",
    "COLUMNS__SERVICE": "service",
    "COLUMNS__TIME": "last_access",
    "COLUMNS__ADDRESS": "last_ip",
}


@pytest.fixture
def topics(stack: Layout) -> Iterator[Topics]:
    """Topics of one test."""
    with own_topics(stack, partitions=2) as topics:
        yield topics


@pytest.fixture
def name(rows: StatsTable) -> Iterator[str]:
    """Name of a table of one test, to be made by it."""
    name = f"Shape_{uuid4().hex[:12]}"
    yield name
    rows.session.execute(f'DROP TABLE IF EXISTS statsdb."{name}"')


def _wait_until_written(topics: Topics, consumer: ConsumerProcess) -> None:
    # The first group of a new Kafka has no coordinator for a moment.
    wait_until(lambda: bool(consumer.partitions()))
    wait_until(lambda: topics.lag(consumer.group) == 0)


@pytest.mark.parametrize("key", ["(userid, service)", "((userid, service))", "((service, userid))"])
@pytest.mark.parametrize(("address_type", "absent"), [("text", ""), ("inet", None)])
def test_a_row_per_service(
    stack: Layout,
    topics: Topics,
    rows: StatsTable,
    name: str,
    tmp_path: Path,
    *,
    key: str,
    address_type: str,
    absent: str | None,
) -> None:
    """Each user and service has a row with the newest login, whatever the key, and is shown; names with capitals do."""
    rows.session.execute(
        f'CREATE TABLE statsdb."{name}" '
        f"(userid text, service text, last_access timestamp, last_ip {address_type}, PRIMARY KEY ({key[1:-1]}))"
    )
    table = BY_SERVICE | {"CASSANDRA__TABLE": name, "COLUMNS__ADDRESS_TYPE": address_type}
    now, users = time.time_ns() // 1000, [f"shape-{uuid4().hex}" for _ in range(60)]
    with ConsumerProcess(stack, topics, tmp_path, **table) as consumer:
        for user in users:
            topics.publish(
                login(user, now, ip="2001:db8::1"),
                login(user, now - 1, ip="192.0.2.9"),
                login(user, now - 7, service="lmtp"),
                login(user, now - 7, service="sieve"),
            )
        _wait_until_written(topics, consumer)
        assert [] == consumer.said("cassandra_failing")
        assert 60 == consumer.scrape()["unmapped_total"]
        assert 0 == consumer.stop()
    found = rows.session.execute(f'SELECT userid, service, last_ip, WRITETIME(last_access) FROM statsdb."{name}"')
    shown = lastlogin(stack, "show", "--json", users[0], **table)

    assert {(user, "imap", "2001:db8::1", now) for user in users} | {
        (user, "lmtp", absent, now - 7) for user in users
    } == {tuple(row) for row in found}
    assert (0, "") == (shown.code, shown.err)
    services = json.loads(shown.out)["services"]
    assert ["2001:db8::1", None] == [services["imap"]["address"], services["lmtp"]["address"]]
    assert None is services["pop3"]


@pytest.mark.parametrize("partition", [("userid", "service"), ("service", "userid")])
def test_the_token_of_two_columns(rows: StatsTable, name: str, partition: tuple[str, str]) -> None:
    """What tells the coordinator of a row hashes to the token that Cassandra has for it."""
    rows.session.execute(
        f'CREATE TABLE statsdb."{name}" '
        f"(userid text, service text, at timestamp, PRIMARY KEY (({', '.join(partition)})))"
    )
    rows.session.execute(f"""INSERT INTO statsdb."{name}" (userid, service, at) VALUES ('tést@x', 'imap', 1)""")
    token = rows.session.execute(f'SELECT token({", ".join(partition)}) FROM statsdb."{name}"').one()[0]
    mapping = TableMapping("statsdb", name, "userid", {}, "service", partition=partition)

    assert token == murmur3(mapping.partition_key("tést@x", "imap"))


def test_columns_of_ones_own(stack: Layout, topics: Topics, rows: StatsTable, name: str, tmp_path: Path) -> None:
    """A service of one's own has its column; one without is set aside where that is wanted, with its reason."""
    rows.session.execute(
        f'CREATE TABLE statsdb."{name}" '
        '(mailbox text PRIMARY KEY, last_imap_access timestamp, last_imap_ip inet, "Sieved" timestamp)'
    )
    table = {
        "CASSANDRA__TABLE": name,
        "COLUMNS__USER": "mailbox",
        "COLUMNS__TIME": "last_{service}_access",
        "COLUMNS__ADDRESS": "last_{service}_ip",
        "COLUMNS__SERVICES": "imap,managesieve",
        "COLUMNS__TIMES": '{"managesieve": "Sieved"}',
    }
    now, user = time.time_ns() // 1000, f"shape-{uuid4().hex}"
    with ConsumerProcess(stack, topics, tmp_path, UNMAPPED="dead_letter", **table) as consumer:
        topics.publish(
            login(user, now, ip="192.0.2.1"),
            login(user, now - 7, service="managesieve", ip="192.0.2.2"),
            login(user, now - 7, service="pop3"),
        )
        _wait_until_written(topics, consumer)
        assert 1 == consumer.scrape()["dead_letters_total{reason=unmapped}"]
        assert 0 == consumer.stop()
    found = rows.session.execute(
        f'SELECT mailbox, WRITETIME(last_imap_access), last_imap_ip, WRITETIME("Sieved") FROM statsdb."{name}"'
    )
    shown = lastlogin(stack, "show", "--json", user, **table)

    assert [(user, now, "192.0.2.1", now - 7)] == [tuple(row) for row in found]
    assert ["imap", "managesieve"] == [name for name, use in json.loads(shown.out)["services"].items() if use]
    [letter] = topics.letters()
    headers = dict(letter.headers)
    assert (b"unmapped", b"the table has no column for the service pop3") == (headers["reason"], headers["error"])


def test_a_ttl(stack: Layout, topics: Topics, rows: StatsTable, name: str, tmp_path: Path) -> None:
    """Case 28: it counts from the login, so that a replay adds nothing; what is older already is not written."""
    rows.session.execute(
        f'CREATE TABLE statsdb."{name}" (user text PRIMARY KEY, last_login_imap timestamp, remote_ip_imap inet)'
    )
    select = f'SELECT user, TTL(last_login_imap), TTL(remote_ip_imap), WRITETIME(last_login_imap) FROM statsdb."{name}"'
    now, user = time.time_ns() // 1000, f"shape-{uuid4().hex}"
    topics.publish(login(user, now - 500_000_000, ip="192.0.2.1"), login(f"{user}-old", now - 1_000_000_000))
    ends_at: list[tuple[float, float]] = []
    for _ in range(2):
        with ConsumerProcess(stack, topics, tmp_path, CASSANDRA__TABLE=name, TTL_S="1000") as consumer:
            _wait_until_written(topics, consumer)
            assert 1 == consumer.scrape()["expired_total"]
            assert 0 == consumer.stop()
        [(found, time_left_s, address_left_s, written_us)] = rows.session.execute(select)
        assert (user, now - 500_000_000) == (found, written_us)
        ends_at.append((time.time() + time_left_s, time.time() + address_left_s))
        time.sleep(3)
        topics.reset(consumer.group)

    expected = now / 1e6 + 500
    assert all(expected - 2 <= end <= expected + 2 for ends in ends_at for end in ends)
