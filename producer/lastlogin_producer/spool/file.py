"""The spool's SQLite file, the writing side: groups of messages in, nothing half done."""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path

from lastlogin_producer.spool import room, steps
from lastlogin_producer.spool.delivered import Delivered
from lastlogin_producer.spool.directory import sync_directory
from lastlogin_producer.spool.faults import Damaged, Unsure, translated
from lastlogin_producer.spool.kept import Keep, Kept, rows_of
from lastlogin_producer.spool.last_number import LastNumber
from lastlogin_producer.spool.layout import (
    ROW_OVERHEAD_BYTES,
    Meta,
    connect,
    create,
    is_current,
    is_new,
    migrate,
    read_meta,
    write_meta,
)
from lastlogin_producer.spool.row import Kind, checksum
from lastlogin_producer.spool.steps import MARK_EVERY_US, MAX_ABOVE
from lastlogin_schemas import avro


# When the disk is full: 4 MiB of rows, in transactions that need little of it for themselves.
_MAKE_ROOM_BYTES = 262_144
_MAKE_ROOM_TIMES = 16

# Transactions before a close that hold 1,000 rows each.
_FINISH_TIMES = 20

# Rows that wait again with one transaction; logins are stored between two of them.
_WAIT_AGAIN_ROWS = 5_000

_COLUMNS = 4
# Of the table messages, for so many rows at once.
_INSERTS = [
    (rows, f"INSERT INTO messages VALUES {', '.join(['(?, ?, ?, ?)'] * rows)}")  # noqa: S608 - no values in it
    for rows in (64, 16, 4, 1)
]


class SpoolFile:
    """The writing side; for one thread at a time.

    Makes the file if it is missing; its epoch is then `now_us` (microseconds since 1970-01-01 UTC), and its
    messages belong to `backend`. Raises `Exit(78)` for a file of a later version or of another program, `Damaged`,
    and `Unsure` when the disk fails.
    """

    def __init__(self, path: Path, backend: str, now_us: int, keep: Keep) -> None:
        self.path = path
        self._kept = Kept(keep)
        if not path.exists():
            # SQLite would make it readable by everybody; WAL and shared memory take this file's mode.
            os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))
        with translated():
            self._last_number = LastNumber(path)
        try:
            with translated():
                self._inspect()
                self._connection = connection = _connect(path)
        except BaseException:  # as below
            self._last_number.close()
            raise
        try:
            with translated():
                if is_new(connection, path):
                    create(connection, Meta(now_us, backend))
                    sync_directory(path.parent)
                migrate(connection, now_us)
                self._load()
        except BaseException:  # whatever it is, nobody else will close the file; passed on
            self.close()
            raise

    def _inspect(self) -> None:
        """Look for damage without changing anything: who opens for writing also empties the WAL, broken or not."""
        connection = connect(self.path)
        try:
            if is_new(connection, self.path) or not is_current(connection):
                return
            meta = read_meta(connection)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
                raise
            # A crash while it was made, before it had a WAL: the next connection undoes that.
            return
        finally:
            connection.close()
        noted = self._last_number.read()
        if noted is not None and noted[0] == meta.epoch and noted[1] > meta.last_sequence:
            raise Damaged(f"messages up to {noted[1]} were acknowledged, and it ends at {meta.last_sequence}")

    def _load(self) -> None:
        connection = self._connection
        room.empty_wal(connection)
        self.meta: Meta = read_meta(connection)
        self._marked_us: int
        (self._marked_us,) = connection.execute("SELECT at_us FROM marks ORDER BY sequence DESC").fetchone() or (0,)
        self.aside: dict[str, int] = dict(connection.execute("SELECT reason, COUNT(*) FROM aside GROUP BY reason"))
        self._delivered = Delivered()
        self._epoch_bytes = avro.long(self.meta.epoch)
        self._identity = _identity(self.path)

    @property
    def rows_waiting(self) -> int:
        """Rows that wait."""
        return self.meta.rows - self._delivered.rows

    @property
    def bytes_waiting(self) -> int:
        """Bytes in the file of those."""
        return self.meta.bytes - self._delivered.bytes

    def unfinished(self, now_us: int) -> bool:
        """Whether another `write` would get on with what is done in pieces."""
        return self._delivered.too_many or self._kept.due(self.meta, now_us)

    def reopen(self) -> None:
        """Look again what is stored, after `Unsure`. Raises `Unsure` or `Damaged` when that is impossible.

        An fsync that failed once must not be trusted when it is repeated, and a WAL with a frame that never
        reached the disk ends there, whatever is appended to it: so everything goes to the database proper and
        the WAL starts over.
        """
        meta, delivered = self.meta, self._delivered.numbers()
        with translated():
            self._connection.close()
            self._connection = _connect(self.path)
            self._load()
        if self.meta.epoch != meta.epoch:
            raise Unsure("the file was replaced while in use")
        if self.meta.last_sequence < meta.last_sequence:
            raise Damaged(
                f"messages up to {meta.last_sequence} were acknowledged, it ends at {self.meta.last_sequence}"
            )
        self.take(delivered)

    def take(self, delivered: AbstractSet[int]) -> None:
        """Remember that Kafka has these rows; the next `write` makes it durable, as far as it can."""
        with translated():
            self._delivered.take(self._connection, self.meta.watermark, delivered)

    def write(
        self,
        bodies: Sequence[tuple[Kind, bytes]],
        now_us: int,
        aside: Mapping[int, str] | None = None,
        most_above: int | None = None,
    ) -> set[int]:
        """Store `bodies` (as `unnumbered_body` gives them) under the next numbers; set rows `aside`, with a reason.

        Returns delivered and other numbers that need not be remembered any more; no more than `most_above` others
        (`MAX_ABOVE`) shall be left, which takes several calls. One transaction, on disk when this
        returns. Raises `NotStored`, `Unsure` or `Damaged`; only after `NotStored` may the file be used on without
        `reopen`.
        """
        before = meta = self.meta
        sequence = before.last_sequence
        added = 0
        values: list[int | bytearray] = []
        for kind, unnumbered in bodies:
            sequence += 1
            body = unnumbered + self._epoch_bytes + avro.long(sequence)
            added += len(body) + ROW_OVERHEAD_BYTES
            # Python's module looks for adapters of everything but plain int, str and bytearray: half of an INSERT.
            values += sequence, int(kind), checksum(kind, body), bytearray(body)
        settled = None
        marked_us = self._marked_us
        with self._transaction() as connection:
            if bodies:
                _insert(connection, values)
                meta = meta._replace(last_sequence=sequence, rows=meta.rows + len(bodies), bytes=meta.bytes + added)
                if abs(now_us - marked_us) >= MARK_EVERY_US:
                    marked_us = now_us
                    connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (before.last_sequence, now_us))
            if aside or self._delivered.unsettled:
                meta, settled = self._delivered.settle(
                    connection, meta, aside or {}, MAX_ABOVE if most_above is None else most_above
                )
            if self._kept.due(meta, now_us):
                meta = self._kept.evict(connection, meta, now_us, max(0, meta.kept_rows - before.kept_rows))
                room.give_back(connection)
            write_meta(connection, meta)
        self.meta = meta
        self._marked_us = marked_us
        for reason in (aside or {}).values():
            self.aside[reason] = self.aside.get(reason, 0) + 1
        self._last_number.write(meta.epoch, sequence)
        room.bound_wal(self._connection, self.path)
        return self._delivered.committed(settled) if settled is not None else set()

    def finish(self, now_us: int) -> None:
        """Make all that Kafka took durable before a close, unless far too much waits between. Raises as `write`."""
        for _ in range(_FINISH_TIMES):
            if not self._delivered.rows:
                break
            self.write([], now_us, most_above=0)

    def wait_again(self, above: int) -> tuple[set[int], int, bool]:
        """Let the newest of the kept rows above number `above` wait again, in a transaction of its own.

        Returns numbers that are not delivered any more, how many rows wait again, and whether that were all.
        """
        with self._transaction() as connection:
            meta, rows = steps.wait_again(connection, self.meta, min(above, self.meta.watermark), _WAIT_AGAIN_ROWS)
            write_meta(connection, meta)
        self.meta = meta
        again = self._delivered.forget(meta.watermark)
        return again, rows + len(again), meta.watermark <= max(above, meta.evicted)

    def kept_since(self, at_us: int) -> tuple[int, int, int]:
        """Return the number above which all rows came since `at_us`; how many of them are kept, at most; their bytes.

        The bytes are those of as many rows of mean length.
        """
        meta = self.meta
        with translated():
            above = steps.first_since(self._connection, at_us, meta)
        rows = meta.kept_rows if above < 0 else min(meta.kept_rows, max(0, meta.watermark - above))
        return above, rows + self._delivered.rows, rows * meta.kept_bytes // max(1, meta.kept_rows)

    def make_room(self) -> bool:
        """Tell whether messages may be stored, for the disk has the reserve that deleting rows needs.

        It may be partly in our own free pages. For want of it, kept rows go. Raises as `write` does.
        """
        connection, directory = self._connection, self.path.parent
        if room.is_there(connection, directory):
            return True
        # It may hold a group that did not fit.
        room.bound_wal(connection, self.path, most=0)
        for _ in range(_MAKE_ROOM_TIMES):
            if room.is_there(connection, directory):
                return True
            if not self.meta.kept_rows:
                break
            with self._transaction():
                meta = steps.evict(connection, self.meta, self.meta.watermark, rows_of(self.meta, _MAKE_ROOM_BYTES))
                room.give_back(connection, keep_pages=0)
                write_meta(connection, meta)
            self.meta = meta
            # Only this makes the file shorter.
            room.bound_wal(connection, self.path, most=0)
        return False

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        with translated():
            if _identity(self.path) != self._identity:
                # SQLite would go on with a file that no start finds again.
                raise Unsure("the file was replaced while in use")
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:  # whatever it is, nothing of it may stay; passed on
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file; SQLite empties and removes its WAL."""
        self._connection.close()
        self._last_number.close()


def _insert(connection: sqlite3.Connection, values: list[int | bytearray]) -> None:
    """Insert rows, given as one list of all their values.

    Many rows in a statement: Python lets go of its lock for each statement, and with the event loop busy in another
    thread, to get it back takes longer than to insert a row.
    """
    start = 0
    for rows, statement in _INSERTS:
        while len(values) - start >= rows * _COLUMNS:
            end = start + rows * _COLUMNS
            connection.execute(statement, values[start:end])
            start = end


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _connect(path: Path) -> sqlite3.Connection:
    # A file that goes away while in use is for the next start, which gives it a new epoch.
    connection = connect(path, "mode=rw")
    connection.execute("PRAGMA synchronous = FULL")
    return connection
