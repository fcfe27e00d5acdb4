"""Reading the records of a window a second time, because Cassandra has refused some of its rows. Pure.

A window keeps logins and not their records, which take twice the memory. In the second reading a refused login is
poison from the beginning, and an older one that it had hidden is written. When that one is refused, too, it counts as
merged: else each login of a user whom Cassandra denies would take another reading.
"""

from collections.abc import Iterable
from typing import Protocol

from lastlogin_consumer.decode import Login, Poison, Record
from lastlogin_schemas.order import newest_wins


class Refusal(Protocol):
    """A login that the table does not take; `writer.Refused`."""

    @property
    def login(self) -> Login:
        """Which one."""

    @property
    def why(self) -> str:
        """The reason, a sentence."""


class SecondReading:
    """What was refused, and how far the records are read again; `until` is None while they are read for the first time.

    `last_chance` is set while refused rows are tried once more after a long rest: those refused again are set aside.
    """

    def __init__(self) -> None:
        self.until: int | None = None
        self.last_chance = False
        self._why: dict[Login, str] = {}
        # Of each user and service, how new the newest one is.
        self._newest: dict[tuple[str, str], tuple[int, bytes]] = {}

    def needed_for(self, refusals: Iterable[Refusal], until: int) -> bool:
        """Take note of refusals of a window that ends at `until`; whether it must be read again because of them.

        An older login than one that was noted was hidden by that one, and needs no reading more.
        """
        needed = False
        for login, why in ((each.login, each.why) for each in refusals):
            key, order = (login.user, login.service), newest_wins(login.login_at_us, login.address)
            if (noted := self._newest.get(key)) is None or order > noted:
                self._newest[key] = order
                self._why[login] = why
                needed = True
        if needed:
            self.until = max(until, self.until or 0)
        return needed

    def once_more(self) -> bool:
        """Forget what was refused, to try all of it again; False when nothing was, or this was the last chance."""
        if self.last_chance or not self._why:
            return False
        self.last_chance = True
        self._why.clear()
        self._newest.clear()
        return True

    def judge(self, item: Login | Poison, record: Record) -> Login | Poison:
        """Make poison of a login that was refused."""
        why = self._why.get(item) if isinstance(item, Login) else None
        return item if why is None else Poison(record, "refused", why)
