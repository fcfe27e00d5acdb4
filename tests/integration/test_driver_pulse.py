"""The sign of life of the driver's thread, with a Cassandra and without."""

import time

from lastlogin_consumer.driver_pulse import DriverPulse
from lastlogin_service.cassandra import CassandraSettings, build_cluster
from tests.support.gate import Gate


def test_an_outage_is_no_thread_that_hangs(cassandra_gate: Gate) -> None:
    """Cassandra there, away, and there again: the thread answers at once, or is not asked."""
    pulse = DriverPulse()

    def longest_s(for_s: float) -> float:
        longest, until = 0.0, time.monotonic() + for_s
        while time.monotonic() < until:
            longest = max(longest, pulse.silent_s())
            time.sleep(0.01)
        return longest

    cluster = build_cluster(CassandraSettings(contact_points=["127.0.0.1"], port=cassandra_gate.port))
    try:
        cluster.connect()
        there_s = longest_s(0.5)
        cassandra_gate.shut()
        away_s = longest_s(3)
        cassandra_gate.open()
        back_s = longest_s(0.5)
    finally:
        cluster.shutdown()

    assert max(there_s, away_s, back_s) < 2
