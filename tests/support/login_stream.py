"""Logins of many users, straight onto a topic; what the table must say when they are written, and whether it does.

Some records among them cannot be used: they must be in the dead-letter topic, and nothing else may be there.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import NamedTuple
from uuid import uuid4

from lastlogin_schemas.address import column_bytes
from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.order import newest_wins
from lastlogin_schemas.table import TableMapping
from tests.support.consumer import ConsumerProcess
from tests.support.crowd import Crowd
from tests.support.logins import login, message
from tests.support.own_table import Cell, Cells, OwnTable
from tests.support.topics import Topics


_SERVICES = tuple(TableMapping().services)
_ADDRESSES = (None, "192.0.2.1", "192.0.2.10", "198.51.100.7", "2001:db8::1", "::1")
# From the login of a known user to another one: ties are one of four.
_STEPS_US = (-3_000_000, 0, 1, 2_000_000)
_BATCH = 25
_SHOWN = 20


class Published(NamedTuple):
    """A record and where it stands; `event` is None of one that cannot be used."""

    partition: int
    offset: int
    event: LoginEvent | None


@dataclass(frozen=True, slots=True)
class Findings:
    """What an audit has found; `wrong` says so of each row and each dead letter."""

    records: int
    rows: int
    letters: int
    repeated_letters: int
    wrong: Sequence[str]

    def __str__(self) -> str:
        """Say it in a line, and what is wrong in more."""
        line = (
            f"audit: {self.records} records, {self.rows} rows, {self.letters} dead letters "
            f"({self.repeated_letters} repeated), wrong {len(self.wrong)}"
        )
        return "\n  ".join((line, *self.wrong[:_SHOWN]))


class Logins:
    """Logins as they come: of new users and of known ones, these earlier, later or at the same instant."""

    def __init__(self, rng: Random, new_share: float = 0.8) -> None:
        self._rng = rng
        self._new_share = new_share
        self._prefix = uuid4().hex[:8]
        self._known: list[LoginEvent] = []

    def next(self) -> LoginEvent:
        """One more."""
        rng = self._rng
        if not self._known or rng.random() < self._new_share:
            event = login(f"{self._prefix}-{len(self._known)}", time.time_ns() // 1000, service=rng.choice(_SERVICES))
            self._known.append(event)
        else:
            event = rng.choice(self._known)
            event = event._replace(login_at_us=event.login_at_us + rng.choice(_STEPS_US))
            if rng.random() < 0.5:
                event = event._replace(service=rng.choice(_SERVICES))
        return event._replace(remote_ip=rng.choice(_ADDRESSES))


class LoginStream(Crowd):
    """Publishes some 400 logins a second while the `with` block runs, one of a hundred unusable.

    Afterwards `audit` holds table and dead letters against what was published. `passed_unwritten` may be asked at
    any time: an offset that is committed is never read again, so all before it must be in the table.
    """

    def __init__(self, topics: Topics, table: OwnTable, rng: Random) -> None:
        super().__init__(1, _BATCH / 400)
        self.records: list[Published] = []
        self.topics = topics
        self.table = table
        self._rng = rng
        self._logins = Logins(rng)
        self.bad_share = 0.01
        self._unchecked: list[Published] = []

    def __str__(self) -> str:
        """Say how far it has come."""
        return f"{len(self.records)} records published"

    def once(self, thread: int, number: int) -> None:
        """Publish a few."""
        self.burst(_BATCH)

    def burst(self, count: int) -> None:
        """Publish so many more."""
        self.publish(self._logins.next() for _ in range(count))

    def publish(self, events: Iterable[LoginEvent]) -> None:
        """Publish these, some of them damaged."""
        for event in events:
            value, headers = message(event)
            sound = self._rng.random() >= self.bad_share
            self.topics.publish_raw(
                value if sound else value[:-1],
                headers,
                key=event.user.encode(),
                acknowledged=partial(self._published, event if sound else None),
            )
        self.topics.flush()

    def passed_unwritten(self, group: str) -> list[str]:
        """Records before the committed offsets that are neither in the table nor set aside; there must be none."""
        committed = self.topics.committed(group)
        with self.lock:
            passed = [each for each in self._unchecked if each.offset < committed[each.partition]]
            self._unchecked = [each for each in self._unchecked if each.offset >= committed[each.partition]]
        events = [each.event for each in passed if each.event is not None]
        cells = self.table.cells_of(sorted({event.user for event in events}))
        wrong = [
            f"{event.user} {event.service}: {event.login_at_us}, the table has {cell}"
            for event in events
            if (cell := cells.get((event.user, event.service))) is None
            or newest_wins(cell.time_written_us, cell.address) < _rank(event)
        ]
        bad = {(each.partition, each.offset) for each in passed if each.event is None}
        return wrong + [f"not set aside: {place}" for place in sorted(bad.difference(self._set_aside()) if bad else ())]

    def expected(self) -> Cells:
        """What the table must say when all that was published until now is written."""
        return newest(each.event for each in self.records if each.event is not None)

    def drained(self, consumer: ConsumerProcess, deadline_s: float = 60.0) -> int:
        """Wait until the consumer has passed all of it, then stop it; its exit code. Raises TimeoutError."""
        consumer.wait_until(lambda: self.topics.lag(consumer.group) == 0, deadline_s)
        return consumer.stop()

    def audit(self) -> Findings:
        """Hold table and dead letters against what was published, when all is written."""
        expected, found = self.expected(), self.table.cells()
        wrong = [
            f"{user} {service}: expected {expected.get((user, service))}, found {found.get((user, service))}"
            for user, service in sorted({*expected, *found})
            if expected.get((user, service)) != found.get((user, service))
        ]
        letters = self._set_aside()
        bad = {(each.partition, each.offset) for each in self.records if each.event is None}
        wrong += [f"not set aside: {place}" for place in sorted(bad.difference(letters))]
        wrong += [f"set aside for nothing: {place}" for place in sorted(set(letters).difference(bad))]
        return Findings(len(self.records), len(found), len(letters), len(letters) - len(set(letters)), wrong)

    def _published(self, event: LoginEvent | None, partition: int, offset: int) -> None:
        with self.lock:
            self.records.append(Published(partition, offset, event))
            self._unchecked.append(self.records[-1])

    def _set_aside(self) -> list[tuple[int, int]]:
        return [(int(each.story["partition"]), int(each.story["offset"])) for each in self.topics.letters()]


def newest(events: Iterable[LoginEvent]) -> Cells:
    """What the table must say after these logins, in whatever order."""
    best: dict[tuple[str, str], tuple[int, bytes]] = {}
    for event in events:
        key = (event.user, event.service)
        best[key] = max(best.get(key, (0, b"")), _rank(event))
    return {key: Cell(at_us // 1000, at_us, address, at_us) for key, (at_us, address) in best.items()}


def _rank(event: LoginEvent) -> tuple[int, bytes]:
    return newest_wins(event.login_at_us, column_bytes(event.remote_ip))
