"""Case 5: kill -9 at random points, under load."""

import contextlib
import time
from collections.abc import Callable
from itertools import count

import pytest

from tests.support.backend import Backend, percentile
from tests.support.scale import scale, seeded


KILLS = scale(1_000, 25)


@pytest.mark.timeout(scale(7_200, 180))
def test_killed_at_random_points(backend: Backend, figures: Callable[[str], None]) -> None:
    """After 1,000 kills (here 25), a fifth of them during the start, all that was acknowledged is in Kafka, no hole.

    Each start that was left alone answers a login within 2 s, the time not counted in which others had the processors.
    """
    rng, seed = seeded()
    producer = backend.producer
    starts: list[float] = []
    net: list[float] = []
    with backend.load("kill-", threads=4, pause_s=0.002) as load:
        load.wait_until(lambda load: len(load.acknowledged) >= 10)
        for kill in range(KILLS):
            producer.kill()
            begun = time.monotonic()
            producer.start()
            if rng.random() < 0.2:
                time.sleep(rng.uniform(0, 0.8))
            else:
                until_answered(backend, f"first-{kill}-")
                starts.append(time.monotonic() - begun)
                net.append(starts[-1] - producer.waited_for_cpu_s())
                time.sleep(rng.uniform(0, 0.4))
    found = backend.finish()
    figures(
        f"seed {seed}, {KILLS} kills, start to first answer median {percentile(starts, 0.5):.2f} s, longest "
        f"{max(starts):.2f} s, without waiting for a processor {max(net):.2f} s; {found}"
    )

    assert found.clean, found
    assert found.acked > KILLS
    assert max(net) < 2


def until_answered(backend: Backend, prefix: str) -> None:
    """Log in until it is acknowledged."""
    for number in count():
        with contextlib.suppress(OSError):
            if backend.login(f"{prefix}{number}") == b"O1\n":
                return
        time.sleep(0.005)
