"""`lastlogin schema` on a real Cassandra."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.command import lastlogin, service
from tests.support.consumer import consumer_variables
from tests.support.topics import own_topics


@pytest.fixture
def keyspace(rows: StatsTable) -> Iterator[str]:
    """Name of a keyspace of one test."""
    name = f"Schema_{uuid4().hex[:12]}"
    yield name
    rows.session.execute(f'DROP KEYSPACE IF EXISTS "{name}"')


def test_from_nothing(stack: Layout, keyspace: str) -> None:
    """The plan prints what apply runs; after it nothing is left, and the consumer takes the table."""
    table = {
        "CASSANDRA__KEYSPACE": keyspace,
        "CASSANDRA__TABLE": "last_login",
        "COLUMNS__SERVICE": "service",
        "COLUMNS__TIME": "at",
        "COLUMNS__ADDRESS": "ip",
    }
    plan, applied, again, after = (
        lastlogin(stack, "schema", action, **table) for action in ("plan", "apply", "apply", "plan")
    )
    with own_topics(stack, partitions=1) as topics:
        checked = service("lastlogin-consumer", "--check-config", **consumer_variables(stack, topics), **table)

    assert (1, 0, 0, 0) == (plan.code, applied.code, again.code, after.code)
    assert plan.out == applied.out
    keyspace_cql, table_cql = plan.out.splitlines()
    assert keyspace_cql.startswith(f'CREATE KEYSPACE IF NOT EXISTS "{keyspace}" WITH replication = ')
    assert (
        f'CREATE TABLE IF NOT EXISTS "{keyspace}".last_login '
        "(user text, service text, at timestamp, ip inet, PRIMARY KEY (user, service));"
    ) == table_cql
    assert ("", "Nothing was changed.\n", "Nothing is to be done.\n") == (again.out + after.out, again.err, after.err)
    assert (0, "") == (checked.code, checked.err)


def test_columns_and_another_table(stack: Layout, rows: StatsTable, keyspace: str) -> None:
    """Columns are added to a table that has some; a table of another shape is left alone, and the reason told."""
    table = {"CASSANDRA__KEYSPACE": keyspace, "CASSANDRA__TABLE": "t", "COLUMNS__SERVICES": "imap"}
    rows.session.execute(
        f"""CREATE KEYSPACE "{keyspace}" WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"""
    )
    rows.session.execute(f'CREATE TABLE "{keyspace}".t (user text PRIMARY KEY, note text)')
    added = lastlogin(stack, "schema", "apply", **table)
    other = lastlogin(stack, "schema", "apply", **table, COLUMNS__USER="mailbox")

    assert (0, f'ALTER TABLE "{keyspace}".t ADD (last_login_imap timestamp, remote_ip_imap inet);\n') == (
        added.code,
        added.out,
    )
    assert (78, "") == (other.code, other.out)
    assert "is (user), must be (mailbox)" in other.err
