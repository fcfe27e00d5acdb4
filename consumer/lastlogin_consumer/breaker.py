"""When so many records are bad that it is not them: a bad deployment, a wrong topic. Pure; time comes in."""

from collections import deque


_WITHIN_S = 60.0
# Fewer say nothing: a few bad records in a quiet night are most of them.
_FEWEST = 200
_BAD_SHARE = 0.5
_REST_S = 300.0


class Breaker:
    """Counts records over a minute, and opens when more than half of at least 200 are bad; closed after 5 minutes.

    Not `on`, it stays closed.
    """

    def __init__(self, *, on: bool = True) -> None:
        self._on = on
        # (when, records, bad ones)
        self._windows: deque[tuple[float, int, int]] = deque()
        # Their sums: there may be some hundred windows a second.
        self._records = self._bad = 0
        self._open_until = 0.0

    def count(self, records: int, bad: int, now: float) -> None:
        """Take note of a window's records; `now` is in seconds on a clock that never goes back."""
        if not self._on or now < self._open_until:
            return
        while self._windows and self._windows[0][0] <= now - _WITHIN_S:
            _, old_records, old_bad = self._windows.popleft()
            self._records -= old_records
            self._bad -= old_bad
        self._windows.append((now, records, bad))
        self._records += records
        self._bad += bad
        if self._records >= _FEWEST and self._bad > self._records * _BAD_SHARE:
            self._open_until = now + _REST_S
            self._windows.clear()
            self._records = self._bad = 0

    def open_for(self, now: float) -> float:
        """Seconds for which nothing may be set aside; 0 while it is closed."""
        return max(0.0, self._open_until - now)
