"""Whether the thread of Cassandra's driver works: all sessions of a process share it, so that no new one mends it."""

from collections.abc import Callable
from time import monotonic

from cassandra.io import libevreactor


class DriverPulse:
    """Gives the driver's thread something to do, and looks whether it is done."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._asked_at: float | None = None

    def silent_s(self) -> float:
        """Seconds for which it has not done what it was asked at an earlier call."""
        loop = libevreactor._global_loop  # noqa: SLF001 - the driver has no public way to ask
        if loop is None or not loop._started:  # noqa: SLF001
            # It ends with the last connection, as in an outage, and begins with the next one.
            self._asked_at = None
            return 0.0
        asked_at = self._asked_at
        if asked_at is None:
            self._asked_at = self._clock()
            libevreactor.LibevConnection.create_timer(0, self._answered)
            return 0.0
        return self._clock() - asked_at

    def _answered(self) -> None:
        self._asked_at = None
