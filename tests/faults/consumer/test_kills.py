"""Case 31: kill -9 at random points, under load."""

import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest

from tests.support.consumer import ConsumerProcess
from tests.support.login_stream import LoginStream
from tests.support.process import wait_until
from tests.support.scale import scale
from tests.support.topics import Topics


KILLS = scale(50, 5)


@pytest.mark.timeout(scale(1_800, 180))
def test_killed_at_random_points(
    topics: Topics,
    stream: LoginStream,
    rng: Random,
    member: Callable[..., ConsumerProcess],
    figures: Callable[[str], None],
) -> None:
    """After 50 kills (here 5) nothing is passed that was not written, and in the end the table is as it must be."""
    consumer = member()
    interrupted = committed = 0
    with stream:
        for _ in range(KILLS):
            consumer.start()
            wait_until(lambda: _fetched(consumer) > 0, 60)
            time.sleep(rng.uniform(0, 2))
            fetched = _fetched(consumer)
            consumer.kill()
            before, committed = committed, sum(topics.committed(consumer.group).values())
            interrupted += committed - before < fetched
            assert [] == stream.passed_unwritten(consumer.group)
    consumer.start()
    assert 0 == stream.drained(consumer)
    found = stream.audit()
    figures(f"{KILLS} kills, {interrupted} with uncommitted work; {found}")

    assert [] == found.wrong
    assert interrupted > 0


def _fetched(consumer: ConsumerProcess) -> float:
    with suppress(OSError, KeyError):
        return consumer.scrape()["events_total"]
    return 0
