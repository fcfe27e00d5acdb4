"""`lastlogin show` on a real Cassandra, and on a real Kafka for how fresh the table is."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from cassandra.cluster import Session
from confluent_kafka import Consumer, TopicPartition

from lastlogin_schemas.table import TableMapping, insert_cql
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.command import Ended, lastlogin
from tests.support.damage import flip_bit
from tests.support.logins import login
from tests.support.topics import Topics, own_topics


AT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
_PLAIN = "user text PRIMARY KEY, last_login_imap timestamp, last_login_pop3 timestamp, last_login_lmtp timestamp"
_ADDRESSES = f"{_PLAIN}, remote_ip_imap inet, remote_ip_pop3 inet, remote_ip_lmtp inet"


class OwnTable:
    """A table of one test."""

    def __init__(self, session: Session, layout: Layout, columns: str) -> None:
        self.name = f"t{uuid4().hex[:12]}"
        self.session = session
        self._layout = layout
        session.execute(f"CREATE TABLE statsdb.{self.name} ({columns})")

    def write(self, service: str, user: str, at: datetime, address: str | None = None) -> None:
        """Record a login as the consumer does, with an address of zero bytes if it has none."""
        columns = {column.name for column in self._columns()}
        mapping = TableMapping(table=self.name).restricted_to(columns)
        us = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        cql = insert_cql(mapping, service)
        values: list[object] = [user, at]
        if mapping.services[service].address is not None and address is None:
            cql = cql.replace("?, ?, ?", "?, ?, blob_as_inet(0x)")
        elif mapping.services[service].address is not None:
            values.append(address)
        self.session.execute(self.session.prepare(cql), [*values, us])

    def show(self, *arguments: str, **variables: str) -> Ended:
        """Look up in this table."""
        return lastlogin(self._layout, "show", *arguments, CASSANDRA__TABLE=self.name, **variables)

    def _columns(self) -> list[object]:
        cql = (
            "SELECT column_name AS name FROM system_schema.columns WHERE keyspace_name = 'statsdb' AND table_name = %s"
        )
        return self.session.execute(cql, [self.name]).all()


@pytest.fixture(scope="module")
def session(stack: Layout) -> Iterator[Session]:
    """A session of this module's own."""
    with StatsTable(stack) as table:
        yield table.session


@pytest.fixture
def plain(stack: Layout, session: Session) -> Iterator[OwnTable]:
    """The manual's table without addresses."""
    table = OwnTable(session, stack, _PLAIN)
    yield table
    session.execute(f"DROP TABLE statsdb.{table.name}")


@pytest.fixture
def addresses(stack: Layout, session: Session) -> Iterator[OwnTable]:
    """The manual's table with addresses."""
    table = OwnTable(session, stack, _ADDRESSES)
    yield table
    session.execute(f"DROP TABLE statsdb.{table.name}")


@pytest.fixture
def topics(stack: Layout) -> Iterator[Topics]:
    """A topic of events of this test's own."""
    with own_topics(stack, partitions=3) as topics:
        yield topics


def written(layout: Layout, topics: Topics, group: str, offsets: dict[int, int]) -> None:
    """Commit offsets as the consumer does once the rows are written."""
    client = Consumer({"bootstrap.servers": layout.kafka_bootstrap, "group.id": group, "log_level": 0})
    try:
        where = [TopicPartition(topics.events, partition, offset) for partition, offset in offsets.items()]
        client.commit(offsets=where, asynchronous=False)
    finally:
        client.close()


def test_with_addresses(addresses: OwnTable) -> None:
    """Time in the local zone, distance, and the address of that very login; deliveries are told apart."""
    now = datetime.now(UTC)
    addresses.write("imap", "test1", AT, "192.0.2.1")
    addresses.write("pop3", "test1", now - timedelta(hours=3, minutes=1), "2001:db8::1")
    addresses.write("lmtp", "test1", now - timedelta(minutes=5, seconds=10))

    shown = addresses.show("test1")

    assert (shown.code, shown.err) == (0, "")
    headline, empty, imap, pop3, lmtp, apart, fresh = shown.out.splitlines()
    assert (headline, empty, apart) == ("test1: last login was by POP3 3 hours ago", "", "")
    assert fresh.startswith("The table is ")
    assert imap.startswith("IMAP                  2026-01-02 04:04:05+01:00  ")
    assert imap.endswith("  from 192.0.2.1")
    assert "  3 hours ago " in pop3
    assert pop3.endswith("  from 2001:db8::1")
    assert lmtp.startswith("last delivery (LMTP)  ")
    assert "5 minutes ago" in lmtp
    assert lmtp.endswith("  no address recorded")


def test_without_addresses(plain: OwnTable) -> None:
    """A table without addresses shows none."""
    plain.write("imap", "test1", AT)

    lines = plain.show("test1").out.splitlines()

    assert lines[2].startswith("IMAP                  2026-01-02 04:04:05+01:00  ")
    assert lines[3:5] == ["POP3                  none recorded", "last delivery (LMTP)  none recorded"]
    assert "address" not in "".join(lines)


def test_json(addresses: OwnTable) -> None:
    """For programs: UTC and milliseconds; an address of zero bytes is null."""
    addresses.write("imap", "test1", AT, "192.0.2.1")
    addresses.write("pop3", "test1", AT + timedelta(milliseconds=1))

    imap = {"time": "2026-01-02T03:04:05.678Z", "epoch_ms": 1_767_323_045_678, "address": "192.0.2.1"}
    pop3 = {"time": "2026-01-02T03:04:05.679Z", "epoch_ms": 1_767_323_045_679, "address": None}
    assert json.loads(addresses.show("test1", "--json", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1").out) == {
        "user": "test1",
        "found": True,
        "backlog": None,
        "last_login": {"service": "pop3", **pop3},
        "last_delivery": None,
        "services": {"imap": imap, "pop3": pop3, "lmtp": None},
    }


def test_address_of_another_login(addresses: OwnTable) -> None:
    """An address that Dovecot left from an older login is not shown beside the newer time."""
    addresses.write("imap", "test1", AT, "192.0.2.1")
    addresses.session.execute(
        f"INSERT INTO statsdb.{addresses.name} (user, last_login_imap) VALUES ('test1', %s)", [AT + timedelta(hours=1)]
    )

    shown = json.loads(addresses.show("test1", "--json").out)

    assert shown["services"]["imap"] == {
        "time": "2026-01-02T04:04:05.678Z",
        "epoch_ms": 1_767_326_645_678,
        "address": None,
    }


@pytest.mark.parametrize("user", ["test1@example.org", "o'brien", "'; DROP TABLE x; --", 'ü %s ? "', "a\nb"])
def test_cql_runs_as_it_is(addresses: OwnTable, user: str) -> None:
    """`--cql` prints one statement that gives this user's row, whatever is in the name."""
    addresses.write("imap", user, AT, "192.0.2.1")

    cql = addresses.show("--cql", "--", user).out

    assert cql.endswith(";\n")
    row = addresses.session.execute(cql.removesuffix(";\n")).one()
    us = 1_767_323_045_678_000
    assert tuple(row)[:5] == (user, AT.replace(tzinfo=None), us, "192.0.2.1", us)


def test_row_that_may_be_stale(addresses: OwnTable, topics: Topics) -> None:
    """With a row, too, the answer says how far the table is behind Kafka."""
    addresses.write("imap", "test1", AT, "192.0.2.1")
    topics.publish_raw(b"x", partition=0)
    topics.flush()
    where = {"TOPICS__EVENTS": topics.events, "LAG__GROUP": f"group-{topics.events}"}

    people, machine = addresses.show("test1", **where), addresses.show("test1", "--json", **where)

    assert (people.code, machine.code) == (0, 0)
    assert people.out.splitlines()[-1].startswith("The table is behind: 1 event is in Kafka and not in the table yet")
    assert json.loads(machine.out)["backlog"]["records"] == 1


def test_record_that_cannot_be_read(addresses: OwnTable, stack: Layout, topics: Topics) -> None:
    """How many events wait is told although a record of any partition is damaged; since when is not."""
    topics.publish(login("damaged"), partition=0)
    topics.publish(login("sound"), partition=1)
    flip_bit(stack, topics.events, 0, b"damaged")

    shown = addresses.show("test1", TOPICS__EVENTS=topics.events, LAG__GROUP=f"group-{topics.events}")

    told = "The table is behind: 2 events are in Kafka and not in the table yet."
    assert told == shown.out.splitlines()[-1]


def test_no_such_user(addresses: OwnTable, stack: Layout, topics: Topics) -> None:
    """Without a row the answer says how far the table is behind Kafka: nothing written, then some, then all."""
    group = f"group-{topics.events}"
    where = {"TOPICS__EVENTS": topics.events, "LAG__GROUP": group}
    for partition in (0, 0, 0, 2):
        topics.publish_raw(b"x", partition=partition)
    topics.flush()

    nothing = addresses.show("test1", **where)
    written(stack, topics, group, {0: 2, 1: 0, 2: 1})
    some = addresses.show("Test1", **where)
    written(stack, topics, group, {0: 3})
    everything = addresses.show("test1", **where)
    machine = addresses.show("test1", "--json", **where)

    assert (nothing.code, some.code, everything.code, machine.code) == (1, 1, 1, 1)
    first, second = nothing.out.splitlines()
    assert first == "test1: no login was recorded"
    assert second.startswith("The table is behind: 4 events are in Kafka and not in the table yet, the oldest from ")
    assert some.out.splitlines()[1] == (
        "Names are compared letter by letter; mail servers mostly write them in lower case."
    )
    assert some.out.splitlines()[2].startswith("The table is behind: 1 event is in Kafka and not in the table yet")
    assert (
        everything.out.splitlines()[1]
        == "The table is up to date: it has everything that reached Kafka and could be used."
    )
    assert json.loads(machine.out) == {
        "user": "test1",
        "found": False,
        "backlog": {"records": 0, "oldest_ms": None},
    }


def test_oldest_by_append_time(addresses: OwnTable, topics: Topics) -> None:
    """The age of what waits is that of the oldest record over all partitions, by Kafka's clock."""
    before = datetime.now(UTC)
    topics.publish_raw(b"x", partition=1)
    topics.flush()
    between = datetime.now(UTC)
    topics.publish_raw(b"x", partition=0)
    topics.flush()

    backlog = json.loads(addresses.show("test1", "--json", TOPICS__EVENTS=topics.events, LAG__GROUP="new").out)[
        "backlog"
    ]

    assert backlog["records"] == 2
    oldest = datetime.fromtimestamp(backlog["oldest_ms"] / 1000, UTC)
    assert before - timedelta(milliseconds=1) <= oldest <= between


def test_freshness_unknown(addresses: OwnTable, unused_tcp_port: int) -> None:
    """When Kafka cannot tell, the answer says so, with the reason, and stays an answer."""
    away = addresses.show("test1", KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{unused_tcp_port}")
    no_topic = addresses.show("test1", TOPICS__EVENTS="no-such-topic")
    not_configured = addresses.show("test1", KAFKA__BOOTSTRAP_SERVERS="")

    known = [ended.out.splitlines()[1] for ended in (away, no_topic, not_configured)]
    assert known[0].startswith("How fresh the table is, is not known: Kafka does not answer at 127.0.0.1:")
    assert known[1] == (
        "How fresh the table is, is not known: Kafka has no topic no-such-topic, or the user in [kafka] may not see it"
    )
    assert known[2] == (
        "How fresh the table is, is not known: [kafka] is not configured: "
        "set kafka.bootstrap_servers, or LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS"
    )
    assert [ended.code for ended in (away, no_topic, not_configured)] == [1, 1, 1]


def test_time_that_is_none(addresses: OwnTable) -> None:
    """A time in the year 57,875, as a wrong unit makes it, is a sentence that names the column."""
    addresses.session.execute(
        f"INSERT INTO statsdb.{addresses.name} (user, last_login_imap) VALUES ('test1', 1764000000000000)"
    )

    shown = addresses.show("test1")

    assert (shown.code, shown.out) == (65, "")
    assert shown.err == (
        "lastlogin: the row holds what is no time; look at it in cqlsh: "
        'Failed decoding result column "last_login_imap" of type timestamp: date value out of range\n'
    )


@pytest.mark.parametrize(
    ("variables", "code", "sentence"),
    [
        (
            {"CASSANDRA__TABLE": "nope"},
            78,
            "there is no table statsdb.nope: check cassandra.keyspace and cassandra.table",
        ),
        (
            {"CASSANDRA__LOCAL_DC": "dc9"},
            78,
            "cassandra.local_dc: dc9 - Cassandra has no such data centre; it has datacenter1\n",
        ),
        ({"CASSANDRA__CONSISTENCY": "THREE"}, 69, "too few of Cassandra's nodes are up for cassandra.consistency: "),
        ({"CASSANDRA__TLS": "true"}, 78, "Cassandra's port speaks no TLS, check cassandra.tls and cassandra.port: "),
    ],
)
def test_what_cassandra_says(stack: Layout, variables: dict[str, str], code: int, sentence: str) -> None:
    """Each way in which Cassandra cannot answer is one sentence with what to look at."""
    ended = lastlogin(stack, "show", "test1", **variables)

    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith(f"lastlogin: {sentence}")
    assert ended.err.count("\n") == 1
