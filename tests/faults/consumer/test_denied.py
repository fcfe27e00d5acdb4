"""A Cassandra that refuses rows of some users: its denylist of partitions."""

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from cassandra import InvalidRequest

from lastlogin_schemas.event import LoginEvent
from lastlogin_stack.cassandra import Cassandra
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.command import service
from tests.support.consumer import ConsumerProcess, consumer_variables, with_constants
from tests.support.logins import login
from tests.support.process import wait_until
from tests.support.topics import Topics, own_topics


class Denying(Cassandra):
    """It denies users who are listed."""

    def prepare(self) -> None:
        """Add to cassandra.yaml."""
        super().prepare()
        with (self.directory / "cassandra.yaml").open("a", encoding="utf-8") as yaml:
            yaml.write(
                "partition_denylist_enabled: true\n"
                "denylist_writes_enabled: true\n"
                "denylist_refresh: 1s\n"
                "denylist_consistency_level: ONE\n"
            )


@pytest.fixture(scope="module", autouse=True)
def denying(stack: Layout) -> Iterator[None]:
    """Cassandra, started with a denylist; afterwards without."""
    plain, denying = Cassandra(stack), Denying(stack)
    for stopped, started in ((plain, denying), (denying, plain)):
        stopped.stop()
        started.start()
        started.wait_ready()
        if started is denying:
            yield


@pytest.fixture
def rows(stack: Layout) -> Iterator[StatsTable]:
    """The table, and a session."""
    with StatsTable(stack) as table:
        yield table


@pytest.fixture
def topics(stack: Layout) -> Iterator[Topics]:
    """Topics of one test."""
    with own_topics(stack, partitions=2) as topics:
        yield topics


def _events(count: int) -> list[LoginEvent]:
    now = time.time_ns() // 1000
    return [login(f"denied-{uuid4().hex}", now + n, ip="192.0.2.1") for n in range(count)]


def _deny(rows: StatsTable, events: list[LoginEvent], *, denied: bool = True) -> None:
    list_ = "system_distributed.partition_denylist"
    deny = rows.session.prepare(
        f"INSERT INTO {list_} (ks_name, table_name, key) VALUES ('statsdb', 'dovecot_stats', ?)"
        if denied
        else f"DELETE FROM {list_} WHERE ks_name = 'statsdb' AND table_name = 'dovecot_stats' AND key = ?"
    )
    for event in events:
        rows.session.execute(deny, (event.user.encode(),))
    # The node looks anew when it is asked, a second after it has looked, and goes by what it knew until it has.
    wait_until(lambda: denied == _is_denied(rows, events[-1].user))


def _is_denied(rows: StatsTable, user: str) -> bool:
    try:
        rows.session.execute("DELETE FROM statsdb.dovecot_stats USING TIMESTAMP 1 WHERE user = %s", (user,))
    except InvalidRequest:
        return True
    return False


def test_users_whom_cassandra_denies(stack: Layout, topics: Topics, rows: StatsTable, tmp_path: Path) -> None:
    """Their logins are set aside once each, with Cassandra's words; others are written, and counted once.

    A replay counts them, names their places, and sets nothing aside again.
    """
    events = _events(400)
    denied = events[::5]
    _deny(rows, denied)
    topics.publish(*events)
    with ConsumerProcess(stack, topics, tmp_path) as consumer:
        consumer.wait_for("assigned")
        wait_until(lambda: topics.lag(consumer.group) == 0)
        letters = topics.letters()
        samples = consumer.scrape()
        assert 0 == consumer.stop()
    again = service("lastlogin-consumer", "replay", "--since", "1h", **consumer_variables(stack, topics))

    assert letters == topics.letters()
    assert 1 == again.code, again
    assert "320 rows written, 0 merged" in again.out
    assert "left out: 80 refused" in again.out
    places = [f"{letter.story['partition']}:{letter.story['offset']}" for letter in letters]
    [named] = [line for line in again.out.splitlines() if line.startswith("refused by Cassandra: ")]
    assert named.endswith(" and 60 more")
    assert set(named.removeprefix("refused by Cassandra: ").removesuffix(" and 60 more").split(", ")) < set(places)
    assert denied[0].user not in again.out + again.err
    assert sorted(event.user for event in denied) == sorted((letter.key or b"").decode() for letter in letters)
    assert {"refused"} == {letter.story["reason"] for letter in letters}
    assert all("denylist" in letter.story["error"] for letter in letters)
    assert all("imap" in rows.row(event.user) for event in events if event not in denied)
    assert (320, 80) == (samples["rows_written_total"], samples["dead_letters_total{reason=refused}"])


def test_most_are_refused_until_somebody_mends_it(
    stack: Layout, topics: Topics, rows: StatsTable, tmp_path: Path
) -> None:
    """Nothing is set aside for five minutes (here 8 s); what was refused is then tried once more, and written."""
    events = _events(600)
    denied = events[:400]
    _deny(rows, denied)
    topics.publish(*events)
    consumer = with_constants(ConsumerProcess(stack, topics, tmp_path), {"lastlogin_consumer.breaker:_REST_S": 8})
    with consumer:
        consumer.wait_for("breaker_open")
        assert b"denied-".hex() not in consumer.output()
        _deny(rows, denied, denied=False)
        wait_until(lambda: topics.lag(consumer.group) == 0, 60)
        assert 0 == consumer.stop()

    assert [] == topics.letters()
    assert all("imap" in rows.row(event.user) for event in events)
