"""The host's clock: that it went back is seen and told."""

from structlog.testing import capture_logs

from lastlogin_producer.clock import WatchedClock


def _read(*readings_us: int) -> tuple[list[int], int, list[str]]:
    readings = iter(readings_us)
    clock = WatchedClock(lambda: next(readings) * 1_000)
    with capture_logs() as lines:
        told = [clock() for _ in readings_us]
    return told, clock.steps_back, [line["event"] for line in lines]


HOUR_US = 3_600_000_000


def test_a_step_back_and_forth() -> None:
    """An hour back counts once, with a line that says how far; the way forth and what follows do not count."""
    now = 1_795_387_910_000_000
    readings = [now, now + 1, now + 1 - HOUR_US, now + 2 - HOUR_US, now + 3, now + 4]
    told, steps, lines = _read(*readings)

    assert (readings, 1) == (told, steps)
    assert [True] == ["went back by 3600.0 s" in line for line in lines]


def test_each_step_counts_and_few_are_told() -> None:
    """A clock that jumps to and fro counts each time and tells it at most every 30 s."""
    now = 1_795_387_910_000_000
    _, steps, lines = _read(*([now, now - HOUR_US] * 50))

    assert (50, 1) == (steps, len(lines))


def test_a_trembling_clock() -> None:
    """A tenth of a second is not worth a word."""
    now = 1_795_387_910_000_000

    assert (0, []) == _read(now, now - 100_000, now, now - 99_000)[1:]
    assert 1 == _read(now, now - 100_001)[1]
