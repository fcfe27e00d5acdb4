"""Case 46: SIGTERM under load, over and over."""

import time
from collections.abc import Callable

import pytest

from tests.support.backend import Backend
from tests.support.scale import scale


STOPS = scale(100, 10)


@pytest.mark.timeout(scale(2_400, 180))
def test_stopped_under_load(backend: Backend, figures: Callable[[str], None]) -> None:
    """100 times (here 10) it answers whoever is connected, hands all to Kafka and ends with 0, within 10 s."""
    took: list[float] = []
    with backend.load("term-", threads=4) as load:
        for stop in range(STOPS):
            load.wait_until(lambda load, stop=stop: len(load.acknowledged) >= 300 * (stop + 1))  # type: ignore[misc]
            begun = time.monotonic()
            assert 0 == backend.producer.stop()
            took.append(time.monotonic() - begun)
            assert 0 == backend.producer.said("stopped")[-1]["rows"]
            backend.producer.start()
    found = backend.finish()
    figures(f"{STOPS} stops, longest {max(took):.2f} s; {found}")

    assert found.clean, found
    assert 0 == found.unconfirmed
    assert [] == load.other_replies
    assert max(took) < 10
