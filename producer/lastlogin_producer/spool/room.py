"""The room that the spool takes on its disk: the WAL, free pages, and what must be left over."""

import os
import sqlite3
from pathlib import Path

from lastlogin_producer.spool.faults import Unsure
from lastlogin_producer.spool.pages import PAGE_BYTES


# SQLite checkpoints from this many WAL pages on (1 MiB). Small, because the checkpoint's two fsyncs delay a reply.
_CHECKPOINT_PAGES = 256
# A reader can keep the WAL from being reused; beyond this size we wait for it (reads take milliseconds).
_MAX_WAL_BYTES = 3 * 1_048_576
# Deleting rows needs disk space first, for the WAL and its checkpoint. Without this reserve a disk that the spool
# itself filled could never be emptied again.
FREE_BYTES = 4 * 1_048_576
# As much of it as must not be pages of our own file.
_FREE_FOR_WAL_BYTES = 1_048_576

# Pages given back to the file system with each group that deletes, once this many are free: 64 KiB a group
# return gigabytes within minutes after an outage, and the churn of normal operation is left alone (4 MiB).
_VACUUM_PAGES = 16
_KEEP_FREE_PAGES = 1024


def is_there(connection: sqlite3.Connection, directory: Path) -> bool:
    """Tell whether the reserve that deleting rows needs is there: on the disk, or partly in our own free pages."""
    status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    if free >= FREE_BYTES:
        return True
    (pages,) = connection.execute("PRAGMA freelist_count").fetchone()
    return free >= _FREE_FOR_WAL_BYTES and free + int(pages) * PAGE_BYTES >= FREE_BYTES


def give_back(connection: sqlite3.Connection, keep_pages: int = _KEEP_FREE_PAGES) -> None:
    """Return some free pages to the file system; the next checkpoint makes the file shorter."""
    if connection.execute("PRAGMA freelist_count").fetchone()[0] > keep_pages:
        # Page by page: a step of the statement frees one, and Python's module takes only the first step.
        for _ in range(_VACUUM_PAGES):
            connection.execute("PRAGMA incremental_vacuum(1)")


def bound_wal(connection: sqlite3.Connection, path: Path, most: int = _MAX_WAL_BYTES) -> None:
    """Empty the WAL of the file at `path` when it has grown beyond `most` bytes."""
    # The group before it is stored: an error here shows itself at the next one.
    try:
        if os.stat(f"{path}-wal").st_size > most:  # noqa: PTH116 - a path object costs as much as the call
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except (OSError, sqlite3.Error):
        return


def empty_wal(connection: sqlite3.Connection) -> None:
    """Bring everything into the database proper, and keep the WAL small from now on. Raises `Unsure`."""
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {_CHECKPOINT_PAGES * PAGE_BYTES}")
    (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise Unsure("another process holds the file, so that its WAL cannot be emptied")
