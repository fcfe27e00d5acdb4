"""Times as people type them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from lastlogin_service.moments import at_ms, at_us, iso_ms, start_of


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "moment"),
    [
        ("90s", datetime(2026, 1, 2, 3, 2, 35, tzinfo=UTC)),
        ("30m", datetime(2026, 1, 2, 2, 34, 5, tzinfo=UTC)),
        ("2h", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("7d", datetime(2025, 12, 26, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-01T00:00:00.5Z", datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-01 01:00+01:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("1960-01-01T00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_since(since: str, moment: datetime) -> None:
    """An age before now, or a time; before 1970 is from the beginning."""
    assert round(moment.timestamp() * 1000) == start_of(since, NOW)


def test_since_without_a_zone_is_local() -> None:
    """A time without a zone is that of the clock on the wall."""
    assert round(datetime(2026, 1, 1).timestamp() * 1000) == start_of("2026-01-01", NOW)  # noqa: DTZ001 - the point


@pytest.mark.parametrize("since", ["", "yesterday", "2", "-2h", "2 h", "1w", "999999d", "2026-13-01", "²h"])
def test_since_that_is_none(since: str) -> None:
    """Everything else is refused with what would be good."""
    with pytest.raises(ValueError, match=r"must be like 90s, 30m, 2h or 7d, or a time such as"):
        start_of(since, NOW)


def test_times_beyond_any_calendar() -> None:
    """They are numbers, also where only the zone takes them beyond it."""
    assert "9223372036854775807us" == at_us(2**63 - 1, None)
    assert "9223372036854775807000us" == at_ms(2**63 - 1, UTC) == iso_ms(2**63 - 1)
    last_hour = datetime(9999, 12, 31, 23, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    last_hour_us = last_hour // timedelta(microseconds=1)
    assert f"{last_hour_us}us" == at_us(last_hour_us, timezone(timedelta(hours=2)))
