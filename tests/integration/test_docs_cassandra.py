"""docs/cassandra.md: its CQL, run on a Cassandra with roles, and what each role may do with it."""

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cassandra import Unauthorized

from lastlogin_docs.pages import DOCS
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.command import Ended, lastlogin
from tests.support.consumer import ConsumerProcess
from tests.support.logins import login
from tests.support.secured_cassandra import ADMIN, SecuredCassandra, secured_cassandra
from tests.support.topics import own_topics


PAGE = (DOCS / "cassandra.md").read_text(encoding="utf-8")
# As the page has it.
PASSWORD = "change me"
ROLES = ("lastlogin_care", "lastlogin_schema")


def statements() -> list[str]:
    """The page's CQL, in order."""
    blocks = re.findall(r"^```cql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [each.strip() for block in blocks for each in block.split(";\n") if each.strip()]


@pytest.fixture(scope="module")
def secured(stack: Layout) -> Iterator[SecuredCassandra]:
    """A Cassandra with roles, and with the CQL of the page run on it."""
    with secured_cassandra(stack) as secured:
        with StatsTable(secured.layout, login=ADMIN) as stats:
            for statement in statements():
                stats.session.execute(statement)
        yield secured


def run(secured: SecuredCassandra, role: str, *arguments: str, **variables: str) -> Ended:
    """Run `lastlogin` as this role."""
    who = {"CASSANDRA__USERNAME": role, "CASSANDRA__PASSWORD": PASSWORD}
    return lastlogin(secured.layout, *arguments, **who, **variables)


def refused(secured: SecuredCassandra, login: tuple[str, str], *cql: str) -> None:
    """Each of these is refused."""
    with StatsTable(secured.layout, login=login) as stats:
        for statement in cql:
            with pytest.raises(Unauthorized):
                stats.session.execute(statement)


def test_least_rights(stack: Layout, secured: SecuredCassandra, tmp_path: Path) -> None:
    """The consumer writes with MODIFY alone, customer care reads with SELECT alone, and neither does more."""
    writer = (secured.settings["CASSANDRA__USERNAME"], secured.settings["CASSANDRA__PASSWORD"])
    select = "SELECT user FROM statsdb.dovecot_stats"
    insert = "INSERT INTO statsdb.dovecot_stats (user) VALUES ('x')"
    alter = "ALTER TABLE statsdb.dovecot_stats ADD x int"
    with own_topics(stack) as topics, ConsumerProcess(stack, topics, tmp_path, **secured.settings) as consumer:
        topics.publish(login("rights", time.time_ns() // 1000, ip="192.0.2.1"))
        consumer.wait_until(lambda: bool(consumer.partitions()))
        consumer.wait_until(lambda: topics.lag(consumer.group) == 0)
        assert [] == consumer.said("cassandra_failing")
        assert 0 == consumer.stop()
    shown = run(secured, "lastlogin_care", "show", "rights")

    assert 0 == shown.code
    assert "from 192.0.2.1" in shown.out
    refused(secured, writer, select, alter)
    refused(secured, ("lastlogin_care", PASSWORD), insert, alter)


def test_rights_to_the_schema(secured: SecuredCassandra) -> None:
    """Who may make tables needs no right to what is in them; without that right the plan is there all the same."""
    columns: Mapping[str, str] = {"COLUMNS__SERVICES": "imap,managesieve"}
    planned = run(secured, "lastlogin_care", "schema", "plan", **columns)
    denied = run(secured, "lastlogin_care", "schema", "apply", **columns)
    applied = run(secured, "lastlogin_schema", "schema", "apply", **columns)
    made = run(secured, "lastlogin_schema", "schema", "apply", CASSANDRA__TABLE="other")

    assert (1, 78, 0, 0) == (planned.code, denied.code, applied.code, made.code)
    assert planned.out == applied.out
    assert "CREATE TABLE" in made.out
    refused(secured, ("lastlogin_schema", PASSWORD), "SELECT user FROM statsdb.dovecot_stats")


def test_the_table_of_the_page(secured: SecuredCassandra) -> None:
    """The page has the CQL that `lastlogin schema plan` prints, but for the number of nodes."""
    plan = run(secured, "lastlogin_care", "schema", "plan", CASSANDRA__KEYSPACE="other")

    told = [statement.replace("statsdb", "other").replace("1': 3", "1': 1") + ";" for statement in statements()[:2]]
    assert told == plan.out.splitlines()
