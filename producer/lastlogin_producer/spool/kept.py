"""Which of the kept rows have to go."""

import sqlite3
from dataclasses import dataclass

from lastlogin_producer.spool import steps
from lastlogin_producer.spool.layout import Meta


# Rows that leave with a group, which takes 0.5 ms; or twice what the group adds to them, within reason (5 ms).
_ROWS = 250
_MOST_ROWS = 4_000
# Long rows are written to the WAL when they are deleted.
_MOST_BYTES = 1_048_576
# Marks come once a minute.
_LOOK_EVERY_US = 30_000_000


@dataclass(frozen=True, slots=True)
class Keep:
    """How much of what Kafka took is kept for sending again, and for how long (microseconds)."""

    rows: int
    bytes: int
    age_us: int


def rows_of(meta: Meta, size: int) -> int:
    """So many kept rows of mean length are about `size` bytes; one at least."""
    return max(1, size * meta.kept_rows // max(1, meta.kept_bytes))


class Kept:
    """The rows that Kafka took, oldest first out."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._aged = -1
        self._looked_at_us = 0

    def due(self, meta: Meta, now_us: int) -> bool:
        """Whether `evict` has something to do, or to look at."""
        return self._too_many(meta) or (
            meta.kept_rows > 0 and (self._aged_reach(meta) or abs(now_us - self._looked_at_us) >= _LOOK_EVERY_US)
        )

    def evict(self, connection: sqlite3.Connection, meta: Meta, now_us: int, added: int) -> Meta:
        """Delete some of those that are too old or too many; `added` is how many have just come to be kept."""
        most = min(max(_ROWS, 2 * added), _MOST_ROWS, rows_of(meta, _MOST_BYTES))
        if self._too_many(meta):
            share = 1 - self._keep.bytes / meta.kept_bytes
            excess = max(meta.kept_rows - self._keep.rows, int(meta.kept_rows * share) + 1)
            return steps.evict(connection, meta, meta.watermark, min(most, excess))
        if abs(now_us - self._looked_at_us) >= _LOOK_EVERY_US:
            self._looked_at_us = now_us
            self._aged = steps.last_before(connection, now_us - self._keep.age_us, meta)
        return steps.evict(connection, meta, self._aged, most) if self._aged_reach(meta) else meta

    def _too_many(self, meta: Meta) -> bool:
        return meta.kept_rows > self._keep.rows or meta.kept_bytes > self._keep.bytes

    def _aged_reach(self, meta: Meta) -> bool:
        return meta.evicted < min(self._aged, meta.watermark)
