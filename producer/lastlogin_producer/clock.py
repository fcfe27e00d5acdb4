"""The host's clock, and whether it goes back."""

import time
from collections.abc import Callable

import structlog

from lastlogin_service.logs import Occasionally


_log = structlog.get_logger(__name__)

# Time daemons slew what is less than 128 ms (ntpd) and step what is more; a virtual machine's clock may tremble.
_TOLERANCE_US = 100_000
_REPEAT_LOG_S = 30.0


def now_us() -> int:
    """Microseconds since 1970-01-01 UTC, as the system tells them."""
    return time.time_ns() // 1_000


class WatchedClock:
    """Microseconds since 1970-01-01 UTC, as the system tells them; a step back is counted and told.

    Nothing is mended: Dovecot has the same clock, and puts the time that it shows into the login. While it is behind,
    logins are older than those before the step, and the older login loses.
    """

    __slots__ = ("_latest_us", "_occasionally", "_time_ns", "steps_back")

    def __init__(self, time_ns: Callable[[], int] = time.time_ns) -> None:
        self.steps_back = 0
        self._time_ns = time_ns
        self._latest_us = 0
        self._occasionally = Occasionally(_REPEAT_LOG_S)

    def __call__(self) -> int:
        """Tell the time."""
        now_us = self._time_ns() // 1_000
        if now_us < self._latest_us - _TOLERANCE_US:
            self._stepped_back(self._latest_us - now_us)
        self._latest_us = now_us
        return now_us

    def _stepped_back(self, by_us: int) -> None:
        self.steps_back += 1
        suppressed = self._occasionally.suppressed("clock_stepped_back")
        if suppressed is not None:
            _log.warning(
                f"The clock of this host went back by {by_us / 1_000_000:.1f} s: until it has caught up, new logins "
                "count as older than those before",
                action="clock_stepped_back",
                suppressed=suppressed,
            )
