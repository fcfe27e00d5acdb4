"""Rows that Kafka has, as far as the file does not know of it yet."""

import sqlite3
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from lastlogin_producer.spool import steps
from lastlogin_producer.spool.layout import Meta


class Settled(NamedTuple):
    """What a transaction makes of them, once it has been committed."""

    passed: Mapping[int, int]
    below: Mapping[int, int]
    others: Collection[int]
    too_many: bool


class Delivered:
    """In memory, until the watermark passes them; a crash forgets them, and they are sent again.

    `settle` works in the file's transaction, `committed` follows when that was successful. While `too_many` of them
    are above the watermark there is something to settle, also without new ones.
    """

    def __init__(self) -> None:
        # Number and bytes of rows above the watermark, and of those at or below it that are held.
        self._above: dict[int, int] = {}
        self._below: dict[int, int] = {}
        # Delivered a second time, or not there.
        self._unknown: set[int] = set()
        self.bytes = 0
        self.too_many = False

    @property
    def rows(self) -> int:
        """Rows that are delivered and still count as waiting in the file."""
        return len(self._above) + len(self._below)

    @property
    def unsettled(self) -> bool:
        """Whether a transaction might change something."""
        return bool(self._above or self._below or self._unknown)

    def numbers(self) -> set[int]:
        """All of them."""
        return {*self._above, *self._below, *self._unknown}

    def take(self, connection: sqlite3.Connection, watermark: int, numbers: AbstractSet[int]) -> None:
        """Remember that Kafka has these rows."""
        found = steps.sizes(connection, numbers)
        for number in numbers:
            size = found.get(number)
            taken = self._above if number > watermark else self._below
            if size is None:
                self._unknown.add(number)
            elif number not in taken:
                taken[number] = size
                self.bytes += size

    def settle(
        self, connection: sqlite3.Connection, meta: Meta, aside: Mapping[int, str], most_above: int
    ) -> tuple[Meta, Settled]:
        """Move rows aside, take others out of `held`, and move the watermark."""
        above: Mapping[int, int] = self._above
        if aside:
            meta = steps.set_aside(connection, meta, aside)
            above = {number: size for number, size in above.items() if number not in aside}
        below, unknown = dict(self._below), set(self._unknown)
        meta = steps.release_held(connection, meta, below)
        meta, passed, too_many = steps.move_watermark(connection, meta, above, most_above)
        return meta, Settled(passed, below, unknown | aside.keys(), too_many)

    def committed(self, settled: Settled) -> set[int]:
        """Forget what the file knows now, and return its numbers."""
        for number in settled.passed:
            self.bytes -= self._above.pop(number)
        for number in settled.below:
            self.bytes -= self._below.pop(number)
        for number in settled.others:
            self._unknown.discard(number)
            self.bytes -= self._above.pop(number, 0)
        self.too_many = settled.too_many
        return {*settled.passed, *settled.below, *settled.others}

    def forget(self, watermark: int) -> set[int]:
        """Let those above the watermark, which may have moved back, wait again; return their numbers."""
        back = {number for number in self._below if number > watermark}
        again = {*self._above, *back}
        self.bytes -= sum(self._above.values()) + sum(self._below.pop(number) for number in back)
        self._above.clear()
        return again
