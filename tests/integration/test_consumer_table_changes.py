"""What the consumer process does when its table is changed under it: hold, say so, lose nothing, write no garbage."""

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from lastlogin_schemas.event import LoginEvent
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.consumer import ConsumerProcess
from tests.support.logins import login
from tests.support.process import wait_until
from tests.support.topics import Topics, own_topics


COLUMNS = "user text PRIMARY KEY, last_login_imap timestamp, remote_ip_imap inet"


@pytest.fixture
def topics(stack: Layout) -> Iterator[Topics]:
    """Topics of one test."""
    with own_topics(stack, partitions=4) as topics:
        yield topics


@pytest.fixture
def name(rows: StatsTable) -> Iterator[str]:
    """A table of one test."""
    name = f"changed_{uuid4().hex[:12]}"
    rows.session.execute(f"CREATE TABLE statsdb.{name} ({COLUMNS})")
    yield name
    rows.session.execute(f"DROP TABLE IF EXISTS statsdb.{name}")


def _events(count: int) -> list[LoginEvent]:
    now = time.time_ns() // 1000
    return [login(f"changed-{uuid4().hex}", now + n, ip=f"192.0.2.{n}") for n in range(count)]


def _written(rows: StatsTable, name: str) -> set[tuple[str, int, str]]:
    found = rows.session.execute(f"SELECT user, WRITETIME(last_login_imap), remote_ip_imap FROM statsdb.{name}")
    return {tuple(row) for row in found}


def _expected(events: list[LoginEvent]) -> set[tuple[str, int, str | None]]:
    return {(event.user, event.login_at_us, event.remote_ip) for event in events}


def test_a_table_made_anew_with_other_types(
    stack: Layout, topics: Topics, rows: StatsTable, name: str, tmp_path: Path
) -> None:
    """Nothing is written into columns that our bytes are not meant for, by either of two consumers."""
    first, later = _events(8), _events(40)
    with (
        ConsumerProcess(stack, topics, tmp_path, CASSANDRA__TABLE=name) as consumer,
        ConsumerProcess(stack, topics, tmp_path, CASSANDRA__TABLE=name) as other,
    ):
        wait_until(lambda: 2 == len(consumer.partitions()) == len(other.partitions()))
        topics.publish(*first)
        wait_until(lambda: topics.lag(consumer.group) == 0)
        rows.session.execute(f"DROP TABLE statsdb.{name}")
        rows.session.execute(
            f"CREATE TABLE statsdb.{name} (user text PRIMARY KEY, last_login_imap bigint, remote_ip_imap blob)"
        )
        topics.publish(*later)
        said = [each.wait_for("cassandra_failing")[0]["why"] for each in (consumer, other)]
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() - begun > 5)
        assert [] == rows.session.execute(f"SELECT user FROM statsdb.{name}").all()
        assert 40 == topics.lag(consumer.group)

        rows.session.execute(f"DROP TABLE statsdb.{name}")
        rows.session.execute(f"CREATE TABLE statsdb.{name} ({COLUMNS})")
        wait_until(lambda: topics.lag(consumer.group) == 0, 90)
        found = _written(rows, name)
        assert (0, 0) == (consumer.stop(), other.stop())

    assert all("last_login_imap is bigint, must be timestamp" in why for why in said)
    assert _expected(later) == found
    assert [] == topics.letters()


def test_a_column_dropped(stack: Layout, topics: Topics, rows: StatsTable, name: str, tmp_path: Path) -> None:
    """Logins of its service wait until the column is there again; the log names it."""
    first = _events(8)
    with ConsumerProcess(stack, topics, tmp_path, CASSANDRA__TABLE=name) as consumer:
        topics.publish(*first)
        wait_until(lambda: topics.lag(consumer.group) == 0)
        rows.session.execute(f"ALTER TABLE statsdb.{name} DROP remote_ip_imap")
        # Cassandra hides what was written before a column was dropped for good, and our write times are the logins'.
        later = _events(8)
        topics.publish(*later)
        said = consumer.wait_for("cassandra_failing")[0]["why"]
        assert 8 == topics.lag(consumer.group)
        rows.session.execute(f"ALTER TABLE statsdb.{name} ADD remote_ip_imap inet")
        wait_until(lambda: topics.lag(consumer.group) == 0, 90)
        found = _written(rows, name)
        assert 0 == consumer.stop()

    assert "remote_ip_imap" in said
    assert said.endswith(f"ALTER TABLE statsdb.{name} ADD (remote_ip_imap inet)")
    assert _expected(later) <= found
    assert [] == topics.letters()


def test_an_unrelated_column_added(stack: Layout, topics: Topics, rows: StatsTable, name: str, tmp_path: Path) -> None:
    """Logins go on being written while columns are added that are not ours, and nothing is amiss."""
    published: list[LoginEvent] = []
    with ConsumerProcess(stack, topics, tmp_path, CASSANDRA__TABLE=name) as consumer:
        for number in range(20):
            events = _events(20)
            topics.publish(*events)
            published += events
            if number in (5, 10):
                rows.session.execute(f"ALTER TABLE statsdb.{name} ADD note_{number} text")
        wait_until(lambda: topics.lag(consumer.group) == 0)
        found = _written(rows, name)
        assert 0 == consumer.stop()

    assert _expected(published) == found
    assert [] == consumer.said("cassandra_failing")
    assert [] == topics.letters()
