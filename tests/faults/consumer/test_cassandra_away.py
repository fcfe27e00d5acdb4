"""Case 32: Cassandra is away for long."""

import time
from collections.abc import Callable

import pytest

from lastlogin_stack.cassandra import Cassandra
from tests.support.consumer import ConsumerProcess
from tests.support.login_stream import LoginStream
from tests.support.process import cpu_s, memory_bytes, wait_until
from tests.support.scale import scale
from tests.support.topics import Topics


AWAY_S = scale(600.0, 20.0)
MIB = 1_048_576


@pytest.mark.timeout(scale(1_200, 180))
def test_cassandra_away_for_ten_minutes(
    topics: Topics,
    cassandra: Cassandra,
    stream: LoginStream,
    member: Callable[..., ConsumerProcess],
    figures: Callable[[str], None],
) -> None:
    """Ten minutes (here 20 s) under load: nothing is committed, it stays in its group and no larger, and says little.

    Within 30 s of Cassandra's return rows are acknowledged again, and in the end all are there.
    """
    consumer = member()
    consumer.start()
    with stream:
        consumer.wait_until(lambda: consumer.scrape().get("rows_written_total", 0) > 500)
        cassandra.stop()
        consumer.wait_for("cassandra_failing")
        # By now each of its windows waits to be written, and what the client fetches ahead is there.
        wait_until(lambda: topics.lag(consumer.group) > 4_000, 60)
        pid, begun, committed = consumer.pid, time.monotonic(), topics.committed(consumer.group)
        rss, cpu, lines = memory_bytes(pid, "VmRSS"), cpu_s(pid), len(consumer.output().splitlines())
        wait_until(lambda: time.monotonic() - begun > AWAY_S, AWAY_S + 10)
        rss_end = memory_bytes(pid, "VmRSS")
        share = (cpu_s(pid) - cpu) / (time.monotonic() - begun)
        said = (len(consumer.output().splitlines()) - lines) / (time.monotonic() - begun)
        behind = topics.lag(consumer.group)
        assert committed == topics.committed(consumer.group)
        assert consumer.running
        assert pid == consumer.pid
        cassandra.start()
        cassandra.wait_ready()
        returned = time.monotonic()
        consumer.wait_for("cassandra_back", deadline_s=60)
        resumed_s = time.monotonic() - returned
    assert 0 == stream.drained(consumer, scale(300.0, 60.0))
    found = stream.audit()
    figures(
        f"{AWAY_S:g} s away, {behind} records behind, RSS {rss / MIB:.1f} then {rss_end / MIB:.1f} MiB, "
        f"{100 * share:.1f} % of a core, {said:.1f} log lines/s, resumed within {resumed_s:.1f} s; {found}"
    )

    assert [] == found.wrong
    assert 1 == len(consumer.said("assigned"))
    assert resumed_s < 30
    # One that went on fetching would take half a kilobyte for each of 400 records a second.
    assert rss_end - rss < scale(8, 2) * MIB
    assert share < 0.2
    assert said < 10
