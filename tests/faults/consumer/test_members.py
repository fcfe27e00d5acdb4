"""Case 29: consumers that join and leave all the time, under load."""

import time
from collections.abc import Callable
from random import Random

import pytest

from tests.support.consumer import ConsumerProcess
from tests.support.login_stream import LoginStream
from tests.support.process import wait_until
from tests.support.scale import scale
from tests.support.topics import Topics


SECONDS = scale(300.0, 30.0)
EVERY_S = scale(5.0, 3.0)
# Two seconds of the stream.
CAUGHT_UP = 800


@pytest.mark.timeout(scale(900, 180))
def test_members_come_and_go(
    topics: Topics,
    stream: LoginStream,
    rng: Random,
    member: Callable[..., ConsumerProcess],
    figures: Callable[[str], None],
) -> None:
    """For 5 minutes (here 30 s) one of three comes or goes every few seconds: nothing is passed that was not written.

    Afterwards, the load going on, the lag is that of two seconds within a minute.
    """
    members = [member() for _ in range(3)]
    members[0].start()
    members[0].wait_for("assigned")
    changes, lags = 0, [0]
    begun = time.monotonic()
    with stream:
        while time.monotonic() - begun < SECONDS:
            changed_at = time.monotonic()
            # The one that has started last may still be joining.
            chosen = rng.choice([each for each in members if not each.running or _others_run(members, each)])
            if chosen.running:
                assert 0 == chosen.stop()
            else:
                chosen.start()
                # Before it serves this it has no handlers: SIGTERM would kill it.
                assert 200 == chosen.get("/livez")[0]
            changes += 1
            assert [] == stream.passed_unwritten(members[0].group)
            lags.append(topics.lag(members[0].group))
            time.sleep(max(0.0, changed_at + EVERY_S - time.monotonic()))
        ended = time.monotonic()
        wait_until(lambda: topics.lag(members[0].group) < CAUGHT_UP, 60)
        recovered_s = time.monotonic() - ended
    wait_until(lambda: topics.lag(members[0].group) == 0, 60)
    assert all(0 == each.stop() for each in members if each.running)
    found = stream.audit()
    figures(
        f"{changes} changes of three members in {SECONDS:g} s, most behind {max(lags)}, "
        f"caught up within {recovered_s:.1f} s; {found}"
    )

    assert [] == found.wrong


def _others_run(members: list[ConsumerProcess], one: ConsumerProcess) -> bool:
    return any(each.running for each in members if each is not one)
