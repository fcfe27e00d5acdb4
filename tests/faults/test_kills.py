"""Case 5: kill -9 at random points, under load."""

import time
from collections.abc import Callable

import pytest

from tests.support.backend import Backend, percentile
from tests.support.scale import scale, seeded


KILLS = scale(1_000, 25)


@pytest.mark.timeout(scale(7_200, 180))
def test_killed_at_random_points(backend: Backend, figures: Callable[[str], None]) -> None:
    """After 1,000 kills (here 25), a fifth of them during the start, all that was acknowledged is in Kafka, no hole.

    Each start that was left alone answers a login within 2 s.
    """
    rng, seed = seeded()
    starts: list[float] = []
    with backend.load("kill-", threads=4, pause_s=0.002) as load:
        load.wait_until(lambda load: len(load.acknowledged) >= 10)
        for _ in range(KILLS):
            backend.producer.kill()
            known, begun = len(load.acknowledged), time.monotonic()
            backend.producer.start()
            if rng.random() < 0.2:
                time.sleep(rng.uniform(0, 0.8))
            else:
                load.wait_until(lambda load, known=known: len(load.acknowledged) > known)  # type: ignore[misc]
                starts.append(time.monotonic() - begun)
                time.sleep(rng.uniform(0, 0.4))
    found = backend.finish()
    figures(
        f"seed {seed}, {KILLS} kills, start to first answer median {percentile(starts, 0.5):.2f} s, "
        f"longest {max(starts):.2f} s; {found}"
    )

    assert found.clean, found
    assert found.acked > KILLS
    assert max(starts) < 2
