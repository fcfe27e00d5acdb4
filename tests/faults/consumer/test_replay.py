"""A replay while Cassandra hangs, and one that is interrupted."""

import signal
import time
from pathlib import Path

from lastlogin_stack.cassandra import Cassandra
from lastlogin_stack.layout import Layout
from tests.support.consumer import consumer_variables
from tests.support.logins import login
from tests.support.own_table import OwnTable
from tests.support.process import ServiceProcess, halted
from tests.support.topics import Topics


LOGINS = 6_000


def _replay(layout: Layout, topics: Topics, table: OwnTable, log: Path, *arguments: str) -> ServiceProcess:
    # Small windows, and a time-out that the test does not wait long for.
    settings = consumer_variables(layout, topics) | {
        "CASSANDRA__TABLE": table.name,
        "CASSANDRA__REQUEST_TIMEOUT_S": "2",
        "WINDOW__MAX_RECORDS": "40",
    }
    return ServiceProcess("lastlogin-consumer", log, settings, ["replay", *arguments])


def _records(process: ServiceProcess) -> int:
    """How many it has replayed, by its audit line."""
    [told] = process.said("replayed")
    return int(told["records"])


def test_cassandra_hangs_and_the_replay_is_interrupted(
    stack: Layout, topics: Topics, table: OwnTable, cassandra: Cassandra, tmp_path: Path
) -> None:
    """It waits and says so; Ctrl-C ends it at once with the command that does the rest, which waits, too, and goes on.

    Together they replay each record once, and every row is there.
    """
    now = time.time_ns() // 1000 - 10_000_000
    pid = cassandra.process.pid()
    assert pid is not None
    topics.publish(*(login(f"user{n}", now + n, ip="192.0.2.1") for n in range(LOGINS)))

    file = tmp_path / "consumer.toml"
    file.touch()
    with _replay(stack, topics, table, tmp_path / "first.log", "--config", str(file), "--since", "1h") as first:
        first.wait_until(lambda: len(table.cells()) > 100)
        with halted(pid):
            first.wait_for("cassandra_failing")
            first.signal(signal.SIGINT)
            begun = time.monotonic()
            assert 130 == first.wait(20)
            assert time.monotonic() - begun < 10
    assert 0 < _records(first) < LOGINS
    [line] = [line for line in first.output().splitlines() if line.startswith("not written; go on with: ")]
    command = line.partition(": ")[2].split()
    assert ["lastlogin-consumer", "--config", str(file), "replay", "--offsets"] == command[:5]

    with _replay(stack, topics, table, tmp_path / "second.log", *command[4:]) as second:
        second.wait_for("cassandra_connected")
        with halted(pid):
            second.wait_for("cassandra_failing")
        assert 0 == second.wait(90)
    assert 1 <= len(second.said("cassandra_failing")) <= 2
    assert second.said("cassandra_back")
    assert LOGINS == _records(first) + _records(second)
    assert LOGINS == len(table.cells())
