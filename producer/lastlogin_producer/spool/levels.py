"""What is in a spool's file, looked at from outside: without its lock, beside the producer that uses it."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lastlogin_producer.spool.faults import translated
from lastlogin_producer.spool.layout import connect


@dataclass(frozen=True, slots=True)
class StoredLevels:
    """A spool's file at one moment."""

    backend: str
    rows_waiting: int
    bytes_waiting: int
    # Kept in a table of their own, and not published.
    set_aside: int
    set_aside_table: str


def stored_levels(path: Path) -> StoredLevels:
    """Read them. Raises `SpoolFault` for a file that cannot be read, or is none."""
    with translated(), closing(_connect(path)) as connection:
        backend, rows, size = connection.execute("SELECT backend, rows, bytes FROM meta").fetchone()
        (layout,) = connection.execute("PRAGMA user_version").fetchone()
        table = "damaged" if layout == 1 else "aside"
        (set_aside,) = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()  # noqa: S608 - one of two names
    return StoredLevels(backend, rows, size, set_aside, table)


def _connect(path: Path) -> sqlite3.Connection:
    # Without a WAL nobody has it open; SQLite would make one for us, and leave it behind.
    how = "mode=ro" if path.with_name(path.name + "-wal").exists() else "mode=ro&immutable=1"
    return connect(path, how)


def moved_aside_files(path: Path) -> list[Path]:
    """Files that took this one's place before they were moved aside; their readable rows were not all published."""
    return sorted(
        each for each in path.parent.glob(f"{path.name}.damaged-*") if not each.name.endswith(("-wal", "-shm"))
    )
