"""Case 46: SIGTERM under load, over and over."""

import time
from collections.abc import Callable
from random import Random

import pytest

from tests.support.consumer import ConsumerProcess
from tests.support.login_stream import LoginStream
from tests.support.scale import scale
from tests.support.topics import Topics


STOPS = scale(100, 10)


@pytest.mark.timeout(scale(1_800, 180))
def test_stopped_under_load(
    topics: Topics,
    stream: LoginStream,
    rng: Random,
    member: Callable[..., ConsumerProcess],
    figures: Callable[[str], None],
) -> None:
    """100 times (here 10) it ends with 0 within 10 s, has written all that it fetched, and committed exactly that."""
    consumer = member()
    took: list[float] = []
    committed = 0
    with stream:
        for stop in range(STOPS):
            consumer.start()
            consumer.wait_for("assigned", stop + 1)
            time.sleep(rng.uniform(0, 1))
            begun = time.monotonic()
            assert 0 == consumer.stop()
            took.append(time.monotonic() - begun)
            said = consumer.said("stopped")[-1]
            before, committed = committed, sum(topics.committed(consumer.group).values())
            assert 0 == said["unfinished"]
            assert committed - before == said["fetched"]
            assert [] == stream.passed_unwritten(consumer.group)
    consumer.start()
    assert 0 == stream.drained(consumer)
    found = stream.audit()
    figures(f"{STOPS} stops, longest {max(took):.2f} s; {found}")

    assert [] == found.wrong
    assert 0 == found.repeated_letters
    assert max(took) < 10
