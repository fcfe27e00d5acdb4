"""From when on messages are sent again, as people say it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from lastlogin_producer.resend import moment_us


NOW = datetime(2026, 3, 28, 14, 0, 0, tzinfo=timezone(timedelta(hours=1)))


@pytest.fixture(autouse=True)
def central_europe() -> Iterator[None]:
    """Let this host be where summer time begins on 2026-03-29 and ends on 2026-10-25."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", datetime(2026, 3, 28, 11, 0, 0, tzinfo=UTC)),
        ("90m", datetime(2026, 3, 28, 11, 30, 0, tzinfo=UTC)),
        ("1d12h", datetime(2026, 3, 27, 1, 0, 0, tzinfo=UTC)),
        ("1d1h1m1s", datetime(2026, 3, 27, 11, 58, 59, tzinfo=UTC)),
        ("0s", datetime(2026, 3, 28, 13, 0, 0, tzinfo=UTC)),
        ("2026-03-28T10:00", datetime(2026, 3, 28, 9, 0, 0, tzinfo=UTC)),
        ("2026-03-28 10:00:00.5", datetime(2026, 3, 28, 9, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-03-28T10:00Z", datetime(2026, 3, 28, 10, 0, 0, tzinfo=UTC)),
        ("2026-03-28T07:00-05:00", datetime(2026, 3, 28, 12, 0, 0, tzinfo=UTC)),
        ("2026-03-27", datetime(2026, 3, 26, 23, 0, 0, tzinfo=UTC)),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    """A duration counts back from now; a time without a zone is one of this host's."""
    assert int(moment.timestamp() * 1_000_000) == moment_us(text, NOW)


@pytest.mark.parametrize(
    ("now", "text", "moment"),
    [
        (datetime(2026, 3, 30, 12, tzinfo=UTC), "2026-03-28T14:00", datetime(2026, 3, 28, 13, tzinfo=UTC)),
        (datetime(2026, 10, 26, 12, tzinfo=UTC), "2026-10-24T14:00", datetime(2026, 10, 24, 12, tzinfo=UTC)),
    ],
)
def test_a_time_before_the_clocks_were_changed(now: datetime, text: str, moment: datetime) -> None:
    """It is the one that clocks showed then."""
    assert int(moment.timestamp() * 1_000_000) == moment_us(text, now.astimezone())


@pytest.mark.parametrize(
    "text", ["", "2", "h", "-2h", "2h 30m", "2w", "1m1h", "soon", "2026-03-29", "2026-13-01", "9" * 400]
)
def test_no_moments(text: str) -> None:
    """Neither nonsense nor the future is taken for a moment."""
    with pytest.raises((ValueError, OverflowError)):
        moment_us(text, NOW)
