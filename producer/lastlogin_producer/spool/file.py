"""The spool's SQLite file, the writing side: groups of messages in, delivered rows out, nothing half done."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lastlogin_producer.spool.directory import sync_directory
from lastlogin_producer.spool.faults import Damaged, Unsure, translated
from lastlogin_producer.spool.row import Kind, checksum
from lastlogin_schemas import avro
from lastlogin_service.exits import CONFIG, Exit


# Version of the tables below, in SQLite's `user_version`.
LAYOUT_VERSION = 1

# "LLsp": tells our files from other SQLite databases.
_APPLICATION_ID = 0x4C4C7370

# What a row costs in the file beside its body: sequence, kind, checksum, cell pointer, its share of the page.
ROW_OVERHEAD_BYTES = 20

# SQLite checkpoints from this many WAL pages on (1 MiB). Small, because the checkpoint's two fsyncs delay a reply.
_CHECKPOINT_PAGES = 256
# A reader can keep the WAL from being reused; beyond this size we wait for it (reads take milliseconds).
_MAX_WAL_BYTES = 3 * 1_048_576
# Deleting rows needs disk space first, for the WAL and its checkpoint. Without this reserve a disk that the spool
# itself filled could never be emptied again.
FREE_BYTES = 4 * 1_048_576
# As much of it as must not be pages of our own file.
_FREE_FOR_WAL_BYTES = 1_048_576
_PAGE_BYTES = 4_096

# Pages given back to the file system with each group that deletes, once this many are free: 64 KiB a group
# return gigabytes within minutes after an outage, and the churn of normal operation is left alone (4 MiB).
_VACUUM_PAGES = 16
_KEEP_FREE_PAGES = 1024

# Below the 2 s that a login may wait. Only a person with the sqlite3 shell can hold the file's lock.
_BUSY_TIMEOUT_S = 1.0

_COLUMNS = 4
# Of the table messages, for so many rows at once.
_INSERTS = [
    (rows, f"INSERT INTO messages VALUES {', '.join(['(?, ?, ?, ?)'] * rows)}")  # noqa: S608 - no values in it
    for rows in (64, 16, 4, 1)
]

_CREATE = f"""
BEGIN;
CREATE TABLE messages (
    sequence INTEGER PRIMARY KEY, kind INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE damaged (sequence INTEGER PRIMARY KEY, kind, crc, body);
CREATE TABLE meta (
    epoch INTEGER NOT NULL, backend TEXT NOT NULL, last_sequence INTEGER NOT NULL,
    rows INTEGER NOT NULL, bytes INTEGER NOT NULL
);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {LAYOUT_VERSION};
"""


class SpoolFile:
    """The writing side; for one thread at a time. `rows` and `bytes` count what is not yet delivered.

    Makes the file if it is missing; its epoch is then `now_us` (microseconds since 1970-01-01 UTC), and its
    messages belong to `backend`. Raises `Exit(78)` for a file of a later version or of another program, `Damaged`,
    and `Unsure` when the disk fails.
    """

    def __init__(self, path: Path, backend: str, now_us: int) -> None:
        self.path = path
        self._wal = path.with_name(path.name + "-wal")
        if not path.exists():
            # SQLite would make it readable by everybody; WAL and shared memory take this file's mode.
            os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))
        with translated():
            self._connection = connection = _connect(path)
        try:
            with translated():
                if _is_new(connection, path):
                    _create(connection, backend, now_us)
                    sync_directory(path.parent)
                self._load()
        except BaseException:  # whatever it is, nobody else will close the file; passed on
            connection.close()
            raise

    def _load(self) -> None:
        connection = self._connection
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_CHECKPOINT_PAGES * _PAGE_BYTES}")
        self._empty_wal()
        meta = connection.execute("SELECT epoch, backend, last_sequence, rows, bytes FROM meta").fetchone()
        if meta is None or any(type(value) is not int for value in (meta[0], *meta[2:])):
            raise Damaged("the table meta does not hold what belongs there")
        epoch, backend, last_sequence, rows, size = meta
        self.epoch: int = epoch
        self.backend: str = backend
        self.rows: int = rows
        self.bytes: int = size
        (last_stored,) = connection.execute("SELECT MAX(sequence) FROM messages").fetchone()
        self.last_sequence: int = max(last_sequence, last_stored or 0)
        self._epoch_bytes = avro.long(self.epoch)
        self._identity = _identity(self.path)

    def reopen(self) -> None:
        """Look again what is stored, after `Unsure`. Raises `Unsure` or `Damaged` when that is impossible.

        An fsync that failed once must not be trusted when it is repeated, and a WAL with a frame that never
        reached the disk ends there, whatever is appended to it: so everything goes to the database proper and
        the WAL starts over.
        """
        epoch = self.epoch
        with translated():
            self._connection.close()
            self._connection = _connect(self.path)
            self._load()
        if self.epoch != epoch:
            raise Unsure("the file was replaced while in use")

    def write(self, bodies: Sequence[tuple[Kind, bytes]], delivered: Iterable[int], damaged: Iterable[int]) -> None:
        """Store `bodies` (as `unnumbered_body` gives them) under the next numbers; forget and set aside others.

        One transaction, on disk when this returns. Raises `NotStored`, `Unsure` or `Damaged`; only after
        `NotStored` may the file be used on without `reopen`.
        """
        connection = self._connection
        sequence = self.last_sequence
        added = 0
        rows: list[int | bytes] = []
        for kind, unnumbered in bodies:
            sequence += 1
            body = unnumbered + self._epoch_bytes + avro.long(sequence)
            added += len(body) + ROW_OVERHEAD_BYTES
            rows += sequence, kind, checksum(kind, body), body
        with translated():
            if _identity(self.path) != self._identity:
                # SQLite would go on with a file that no start finds again.
                raise Unsure("the file was replaced while in use")
            try:
                connection.execute("BEGIN IMMEDIATE")
                _insert(connection, rows)
                gone, freed = self._delete(delivered, damaged)
                connection.execute(
                    "UPDATE meta SET last_sequence = ?, rows = ?, bytes = ?",
                    (sequence, self.rows + len(bodies) - gone, self.bytes + added - freed),
                )
                connection.execute("COMMIT")
            except sqlite3.Error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        self.last_sequence = sequence
        self.rows += len(bodies) - gone
        self.bytes += added - freed
        self._bound_wal()

    def _delete(self, delivered: Iterable[int], damaged: Iterable[int]) -> tuple[int, int]:
        execute = self._connection.execute
        gone = freed = 0
        for sequence in damaged:
            execute("INSERT OR REPLACE INTO damaged SELECT * FROM messages WHERE sequence = ?", (sequence,))
        for first, last in _runs(sorted({*delivered, *damaged})):
            rows, body_bytes = execute(
                "SELECT COUNT(*), TOTAL(LENGTH(body)) FROM messages WHERE sequence BETWEEN ? AND ?", (first, last)
            ).fetchone()
            execute("DELETE FROM messages WHERE sequence BETWEEN ? AND ?", (first, last))
            gone += rows
            freed += int(body_bytes) + rows * ROW_OVERHEAD_BYTES
        if gone and execute("PRAGMA freelist_count").fetchone()[0] > _KEEP_FREE_PAGES:
            # Page by page: a step of the statement frees one, and Python's module takes only the first step.
            for _ in range(_VACUUM_PAGES):
                execute("PRAGMA incremental_vacuum(1)")
        return gone, freed

    def disk_has_room(self) -> bool:
        """Tell whether the reserve that deleting rows needs is there: on the disk, or partly in our own free pages."""
        status = os.statvfs(self.path.parent)
        free = status.f_bavail * status.f_frsize
        if free >= FREE_BYTES:
            return True
        (pages,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return free >= _FREE_FOR_WAL_BYTES and free + int(pages) * _PAGE_BYTES >= FREE_BYTES

    def _bound_wal(self) -> None:
        # The group is stored by now: an error here shows itself at the next one.
        try:
            if self._wal.stat().st_size > _MAX_WAL_BYTES:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except (OSError, sqlite3.Error):
            return

    def _empty_wal(self) -> None:
        (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise Unsure("another process holds the file, so that its WAL cannot be emptied")

    def close(self) -> None:
        """Close the file; SQLite empties and removes its WAL."""
        self._connection.close()


def _insert(connection: sqlite3.Connection, values: list[int | bytes]) -> None:
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
    # Never made here: a file that goes away while in use is for the next start, which gives it a new epoch.
    # The writer's thread uses what another one opened.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def _is_new(connection: sqlite3.Connection, path: Path) -> bool:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application == _APPLICATION_ID:
        if version > LAYOUT_VERSION:
            raise Exit(
                CONFIG,
                f"{path}: this spool was written by a later version (layout {version}, this version knows "
                f"{LAYOUT_VERSION}); install that version again, or move the file away",
            )
        return False
    if connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()[0]:
        raise Exit(CONFIG, f"{path}: is a database of another program; give spool.directory a directory of its own")
    # Empty, or left by a start that a crash cut short: the tables and their version come in one transaction.
    return True


def _create(connection: sqlite3.Connection, backend: str, now_us: int) -> None:
    # Both must be set before the first table is made.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(_CREATE)
    connection.execute("INSERT INTO meta VALUES (?, ?, 0, 0, 0)", (now_us, backend))
    connection.execute("COMMIT")


def _runs(sequences: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last number of each stretch without a gap."""
    first = last = None
    for sequence in sequences:
        if last is None or sequence != last + 1:
            if first is not None and last is not None:
                yield first, last
            first = sequence
        last = sequence
    if first is not None and last is not None:
        yield first, last
