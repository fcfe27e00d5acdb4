"""Times: as people type them, and as they are shown. Pure."""

import re
from datetime import UTC, datetime, timedelta, tzinfo


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def start_of(since: str, now: datetime) -> int:
    """Milliseconds since 1970 that `since` means: 30m, 2h, 1d before `now`, or an ISO time (local without a zone).

    Raises ValueError, with a sentence.
    """
    try:
        if found := re.fullmatch(r"(\d{1,6})([smhd])", since, re.ASCII):
            moment = now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        else:
            moment = datetime.fromisoformat(since).astimezone(UTC)
        return max(0, (moment - _EPOCH) // _MILLISECOND)
    except (ValueError, OverflowError):
        raise ValueError("must be like 90s, 30m, 2h or 7d, or a time such as 2026-01-31T08:00") from None


def at_ms(milliseconds: int, zone: tzinfo | None) -> str:
    """A time for people, from milliseconds since 1970; None is the local zone."""
    return at_us(milliseconds * 1000, zone)


def at_us(microseconds: int, zone: tzinfo | None) -> str:
    """As `at_ms`, from microseconds."""
    try:
        moment = (_EPOCH + timedelta(microseconds=microseconds)).astimezone(zone)
    except (OverflowError, ValueError):
        # Times of records are whatever their writers say, and may be beyond any calendar.
        return f"{microseconds}us"
    return moment.isoformat(" ", "milliseconds")


def iso_ms(milliseconds: int) -> str:
    """The same for programs, in UTC."""
    return at_ms(milliseconds, UTC).replace("+00:00", "Z").replace(" ", "T")
