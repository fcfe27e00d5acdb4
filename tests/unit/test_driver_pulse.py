"""The sign of life of the thread that Cassandra's driver has; here without a Cassandra."""

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from cassandra.connection import Timer
from cassandra.io import libevreactor

from lastlogin_consumer.driver_pulse import DriverPulse
from tests.support.memory import VirtualClock
from tests.support.process import wait_until


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What the driver's thread runs, with something to wait for, as with a connection."""
    loop = libevreactor.LibevLoop()
    monkeypatch.setattr(libevreactor, "_global_loop", loop)
    loop.add_timer(Timer(60, lambda: None))
    yield loop
    loop._cleanup()


def test_a_thread_that_hangs_falls_silent(loop: Any) -> None:
    """It answers at once while it works; the time counts from the first question that is not answered."""
    clock, release = VirtualClock(), Event()
    pulse = DriverPulse(clock)
    loop.maybe_start()
    for _ in range(3):
        assert 0.0 == pulse.silent_s()
        wait_until(lambda: pulse._asked_at is None)
        clock.now += 100

    loop.add_timer(Timer(0, release.wait))
    assert 0.0 == pulse.silent_s()
    clock.now += 61
    assert 61.0 == pulse.silent_s()
    release.set()
    wait_until(lambda: pulse._asked_at is None)
    assert 0.0 == pulse.silent_s()


def test_a_thread_that_has_nothing_to_do_is_not_asked(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first connection there is none, and it ends with the last one; a question from before is void."""
    clock = VirtualClock()
    pulse = DriverPulse(clock)
    assert 0.0 == pulse.silent_s()
    loop._started = True
    assert 0.0 == pulse.silent_s()
    clock.now += 100
    assert 100.0 == pulse.silent_s()
    loop._started = False
    assert 0.0 == pulse.silent_s()
    loop._started = True
    assert 0.0 == pulse.silent_s()
    monkeypatch.setattr(libevreactor, "_global_loop", None)
    assert 0.0 == pulse.silent_s()
