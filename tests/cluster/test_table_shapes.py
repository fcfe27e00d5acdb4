"""A table whose partition key is of two columns, on three nodes that share its rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cassandra import ConsistencyLevel
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from lastlogin_schemas.table import TableMapping
from lastlogin_stack.cassandra import RING_DATA_CENTER, ring_address
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import Cell, StatsTable
from tests.support.consumer import ConsumerProcess
from tests.support.ring import Logins, Ring, Rows
from tests.support.topics import Topics, own_topics


KEYSPACE = f"shared_{uuid4().hex[:12]}"
DEAD = 3


@pytest.fixture
def session(nodes: Layout) -> Iterator[Session]:
    """A session, and a table of which each node has a third."""
    with StatsTable(nodes, ring=True) as stats:
        replication = {"class": "NetworkTopologyStrategy", RING_DATA_CENTER: 1}
        stats.session.execute(f"CREATE KEYSPACE {KEYSPACE} WITH replication = {replication}")
        stats.session.execute(
            f"CREATE TABLE {KEYSPACE}.last_login (userid text, service text, last_access timestamp, last_ip inet, "
            "PRIMARY KEY ((userid, service)))"
        )
        yield stats.session


@pytest.fixture
def topics(brokers: Layout) -> Iterator[Topics]:
    """Topics of one test, on the three brokers."""
    with own_topics(brokers, 2, cluster=True) as topics:
        yield topics


def found(session: Session, keys: list[tuple[str, str]]) -> Rows:
    """What the table has of these users and services."""
    select = session.prepare(
        f"SELECT last_access, last_ip, WRITETIME(last_access), WRITETIME(last_ip) FROM {KEYSPACE}.last_login "
        "WHERE userid = ? AND service = ?"
    )
    select.consistency_level = ConsistencyLevel.ONE
    answers: Any = execute_concurrent_with_args(session, select, keys)
    rows = {key: rows.one() for key, (_, rows) in zip(keys, answers, strict=True)}
    return {key: Cell(*row) for key, row in rows.items() if row is not None}


@pytest.mark.timeout(300)
def test_rows_by_replica(nodes: Layout, session: Session, topics: Topics, ring: Ring, tmp_path: Path) -> None:
    """With one node dead the rows of the others are all written, for no batch mixes them; the rest when it is back."""
    logins = Logins(topics)
    mapping = TableMapping(KEYSPACE, "last_login", "userid", service="service", partition=("userid", "service"))
    columns = {"USER": "userid", "SERVICE": "service", "TIME": "last_access", "ADDRESS": "last_ip"}
    settings = {f"COLUMNS__{name}": column for name, column in columns.items()}
    settings |= ring.settings | {"CASSANDRA__KEYSPACE": KEYSPACE, "CASSANDRA__TABLE": "last_login"}

    def lives(key: tuple[str, str]) -> bool:
        replicas = session.cluster.metadata.get_replicas(KEYSPACE, mapping.partition_key(*key))
        return [ring_address(DEAD)] != [host.address for host in replicas]

    with ConsumerProcess(nodes, topics, tmp_path, **settings) as consumer:
        logins.publish(300)
        consumer.wait_until(lambda: bool(consumer.partitions()))
        consumer.wait_until(lambda: topics.lag(consumer.group) == 0)
        assert logins.rows() == found(session, list(logins.rows()))

        ring.kill(DEAD)
        logins.publish(1_000)
        expected = logins.rows()
        living = {key: cell for key, cell in expected.items() if lives(key)}
        consumer.wait_until(lambda: found(session, list(living)) == living)
        assert topics.lag(consumer.group) > 0
        assert len(expected) / 2 < len(living) < len(expected)

        ring.start()
        consumer.wait_until(lambda: topics.lag(consumer.group) == 0, 90)
        assert expected == found(session, list(expected))
        assert [] == topics.letters()
        assert 0 == consumer.stop()
