"""The newest login per user and service, out of those that wait to be written. Pure; time comes in."""

from collections.abc import Container
from dataclasses import dataclass, field

from lastlogin_consumer.decode import Login, Poison
from lastlogin_schemas.order import newest_wins


# What a waiting login costs beside its user name, measured: tuples, strings and its place in the dict.
_LOGIN_BYTES = 450
# As above, for a record that is set aside: the objects around its bytes.
_POISON_BYTES = 1_500


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """When a window is full: after `linger_s`, or with so many records or bytes waiting in it."""

    linger_s: float
    max_records: int
    max_bytes: int

    def share(self, partitions: int) -> "WindowLimits":
        """Limits of one of `partitions` windows that together must keep within these."""
        return WindowLimits(self.linger_s, max(1, self.max_records // partitions), max(1, self.max_bytes // partitions))


@dataclass(slots=True)
class Window:
    """Records of one partition that wait to be written, and what became of the others.

    A login that is merged into another, or whose service has no columns, waits no longer: it takes no room.
    Each record is counted in exactly one of `waiting`, `merged` and `unmapped`.
    """

    limits: WindowLimits
    services: Container[str]
    poison: list[Poison] = field(default_factory=list, init=False)
    merged: int = field(default=0, init=False)
    unmapped: int = field(default=0, init=False)
    unchecked: int = field(default=0, init=False)
    # One of those without columns, for the log: names of services come from outside and have no bound.
    unmapped_login: Login | None = field(default=None, init=False)
    _newest: dict[tuple[str, str], Login] = field(default_factory=dict, init=False)
    _bytes: int = field(default=0, init=False)
    _opened_at: float | None = field(default=None, init=False)

    @property
    def logins(self) -> list[Login]:
        """The newest login of each user and service."""
        return list(self._newest.values())

    @property
    def waiting(self) -> int:
        """Records in it that wait: logins to be written and poison to be set aside."""
        return len(self._newest) + len(self.poison)

    @property
    def records(self) -> int:
        """Records that it was given."""
        return self.waiting + self.merged + self.unmapped

    @property
    def room(self) -> int:
        """How many more records may be added before it is full; 0 when it is."""
        if self._bytes >= self.limits.max_bytes:
            return 0
        return max(0, self.limits.max_records - self.waiting)

    def due_in(self, now: float) -> float | None:
        """Seconds until it must be written, 0 when it must be now, None while it is empty."""
        if self._opened_at is None:
            return None
        if self.room == 0:
            return 0.0
        return max(0.0, self._opened_at + self.limits.linger_s - now)

    def add(self, item: Login | Poison, now: float) -> None:
        """Take one decoded record in. `now` is in seconds on a clock that never goes back."""
        if self._opened_at is None:
            self._opened_at = now
        if isinstance(item, Poison):
            self.poison.append(item)
            record = item.record
            self._bytes += _POISON_BYTES + len(record.value or b"") + len(record.key or b"")
            self._bytes += sum(len(value or b"") for _, value in record.headers)
            return
        if not item.checked:
            self.unchecked += 1
        if item.service not in self.services:
            self.unmapped += 1
            self.unmapped_login = item
            return
        key = (item.user, item.service)
        rival = self._newest.get(key)
        if rival is None:
            self._newest[key] = item
            self._bytes += _LOGIN_BYTES + item.user.__sizeof__()
            return
        self.merged += 1
        if newest_wins(item.login_at_us, item.address) > newest_wins(rival.login_at_us, rival.address):
            self._newest[key] = item
