"""Dovecot's own dict-cql and our consumer on one table: rows of both before, during and after the move.

Dovecot's rows are written as its dict-cql writes them: a plain INSERT, whose write time is the clock of the write.
(Debian's Dovecot has no driver for Cassandra.)
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from lastlogin_ops.lookup import lookup_of
from lastlogin_schemas.table import literal, select_cql
from lastlogin_stack.layout import Layout
from tests.support.audited import Audited, audited
from tests.support.consumer import ConsumerProcess


THEIRS, OURS = "192.0.2.1", "198.51.100.7"
# A map without addresses does not name the column.
NO_COLUMN = "no column"
SECOND = 1_000_000


class Shown(NamedTuple):
    """What customer care sees of a user."""

    at_ms: int
    address: str | None


class Both:
    """The table, and the two who write it."""

    def __init__(self, world: Audited) -> None:
        self.world = world

    def dovecot(self, user: str, at_us: int, address: str | None = THEIRS) -> Shown:
        """Write a login as dict-cql does: None is what it writes into a column of type `inet`."""
        values = {"user": literal(user), "last_login_imap": str(at_us // 1000)}
        if address != NO_COLUMN:
            values["remote_ip_imap"] = literal(address) if address is not None else "null"
        names, written = ", ".join(values), ", ".join(values.values())
        self.world.session.execute(f"INSERT INTO {self.world.mapping.qualified_table} ({names}) VALUES ({written})")
        return Shown(at_us // 1000, address if address != NO_COLUMN else None)

    def ours(self, user: str, at_us: int, address: str | None = OURS) -> Shown:
        """Publish a login for the consumer."""
        self.world.topics.publish(self.world.login(user, at_us - self.world.now_us, ip=address))
        return Shown(at_us // 1000, address)

    def shown(self, user: str) -> Shown:
        """What `lastlogin show` makes of the row."""
        row = self.world.session.execute(select_cql(self.world.mapping, literal(user))).one()
        use = lookup_of(user, self.world.mapping, row).uses["imap"]
        assert use is not None
        return Shown(use.epoch_ms, use.address)


@pytest.fixture
def both(stack: Layout) -> Iterator[Both]:
    """Topics, table and group of one test."""
    with audited(stack) as world:
        yield Both(world)


@pytest.fixture
def consumer(both: Both, tmp_path: Path) -> Iterator[ConsumerProcess]:
    """A consumer of them, to be started."""
    world = both.world
    process = ConsumerProcess(world.layout, world.topics, tmp_path, CASSANDRA__TABLE=world.table.name)
    yield process
    if process.running:
        process.kill()


def drain(both: Both, consumer: ConsumerProcess) -> None:
    """Wait until the consumer has written what is on the topic."""
    # The first group of a new Kafka has no coordinator for a moment.
    consumer.wait_until(lambda: bool(consumer.partitions()))
    consumer.wait_until(lambda: both.world.topics.lag(consumer.group) == 0)


def _now_us() -> int:
    return time.time_ns() // 1000


class Login(NamedTuple):
    """One login: whether Dovecot writes it, how long before the write it was (None: that of before), its address."""

    dovecot: bool
    age_s: float | None
    address: str | None


def theirs(age_s: float | None = 0, address: str | None = THEIRS) -> Login:
    """A login that Dovecot writes."""
    return Login(True, age_s, address)


def ours(age_s: float | None = 0, address: str | None = OURS) -> Login:
    """A login that we write."""
    return Login(False, age_s, address)


# Logins of one user in the order in which they are written, and which of them the row shows in the end.
CASES: dict[str, tuple[Sequence[Login], int]] = {
    "ours comes late": ([theirs(), ours(200)], 0),
    "theirs is later": ([ours(), theirs()], 1),
    "ours is later": ([theirs(), ours()], 1),
    "ours is later, without an address": ([theirs(), ours(address=None)], 1),
    "theirs is later, without the column": ([ours(), theirs(address=NO_COLUMN)], 1),
    "theirs is later, with null": ([ours(), theirs(address=None)], 1),
    "ours after theirs without the column": ([ours(), theirs(address=NO_COLUMN), ours()], 2),
    "ours after theirs with null": ([theirs(), theirs(address=None), ours()], 2),
    "one login by both": ([theirs(), ours(None)], 0),
    "one login by both, ours first": ([ours(), theirs(None)], 1),
    "to and fro": ([theirs(), ours(), theirs(), ours(), ours(200), theirs()], 5),
    # Dovecot's order is that of the writes: one that took long goes over what came in between.
    "theirs took long": ([theirs(300), ours(200)], 0),
    "theirs took long, ours was there": ([ours(200), theirs(300)], 1),
    "until the next login": ([ours(200), theirs(300), ours()], 2),
}
GOES_BACK = {"theirs took long, ours was there", "until the next login"}


def test_rows_of_both(both: Both, consumer: ConsumerProcess) -> None:
    """The row shows the later login with its own address and never goes back, but for a slow write of Dovecot's."""
    consumer.start()
    written: dict[str, list[Shown]] = {case: [] for case in CASES}
    at_us: dict[str, int] = {}
    before: dict[str, Shown] = {}
    for turn in range(max(len(logins) for logins, _ in CASES.values())):
        for case, (logins, _) in CASES.items():
            if turn < len(logins):
                dovecot, age_s, address = logins[turn]
                if age_s is not None:
                    at_us[case] = _now_us() - int(age_s * SECOND)
                write = both.dovecot if dovecot else both.ours
                written[case].append(write(case, at_us[case], address))
        drain(both, consumer)
        shown = {case: both.shown(case) for case in CASES}
        assert set() == {case for case in before if shown[case].at_ms < before[case].at_ms} - GOES_BACK
        before = shown

    assert {case: written[case][last] for case, (_, last) in CASES.items()} == before


def test_there_and_back(both: Both, consumer: ConsumerProcess) -> None:
    """A backlog of ours that is written after Dovecot's rows takes none back, going over and going back.

    The audit cannot verify Dovecot's rows, and finds nothing wrong.
    """
    rng, world = Random(5), both.world  # noqa: S311 - repeatable
    users = [f"u{number}@example.org" for number in range(30)]
    newest: dict[str, Shown] = {}

    def seen(user: str, shown: Shown) -> None:
        newest[user] = max(newest.get(user, shown), shown, key=lambda each: each.at_ms)

    seen("theirs", both.dovecot("theirs", _now_us()))
    for _ in ("over", "back"):
        for user in users:
            seen(user, both.ours(user, _now_us() - rng.randrange(1, 3_600) * SECOND))
        for write in (both.dovecot, both.ours, both.dovecot):
            for user in rng.sample(users, 12):
                seen(user, write(user, _now_us()))
        consumer.start()
        drain(both, consumer)
        assert 0 == consumer.stop()
        assert newest == {user: both.shown(user) for user in newest}
    found = world.found(0)

    by_us = sum(each.address == OURS for each in newest.values())
    assert (0, by_us) == (found["wrong"], found["rows"]["right"])
    unverifiable = found["rows"]["unverifiable"]
    assert (30 - by_us, 1) == (unverifiable["newer"], unverifiable["before_events"])
