"""Case 1: Kafka is away for long."""

import time
from collections.abc import Callable

import pytest

from lastlogin_stack.kafka import Kafka
from tests.support.backend import Backend, percentile
from tests.support.scale import scale


AWAY_S = scale(3_600.0, 60.0)


@pytest.mark.timeout(scale(4_200, 180))
def test_kafka_away_for_an_hour(backend: Backend, kafka: Kafka, figures: Callable[[str], None]) -> None:
    """An hour (here a minute) of 200 logins a second: only `O`, p99 < 50 ms, all in the spool, then all in Kafka."""
    kafka.stop()
    begun = time.monotonic()
    with backend.load("away-", threads=4, pause_s=0.0175) as load:
        load.wait_until(lambda _: time.monotonic() - begun >= AWAY_S, AWAY_S + 10)
    rate = len(load.acknowledged) / (time.monotonic() - begun)
    waiting = backend.rows_waiting()
    kafka.start()
    kafka.wait_ready()
    drained_s = backend.drain(300)
    found = backend.finish()
    p50, p99 = (1000 * percentile(load.seconds, share) for share in (0.5, 0.99))
    figures(
        f"{AWAY_S:g} s away at {rate:.0f} logins/s, ack p50 {p50:.1f} p99 {p99:.1f} "
        f"max {1000 * max(load.seconds):.1f} ms, {waiting} rows drained within {drained_s:.1f} s; {found}"
    )

    assert found.clean, found
    assert [] == load.other_replies
    assert 0 == load.connect_failures
    assert len(load.acknowledged) == waiting
    assert rate > 150
    assert p99 < 50
