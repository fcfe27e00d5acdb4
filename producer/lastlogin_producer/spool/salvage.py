"""A new spool out of what can be read of a damaged one.

Every page of the file and of its WAL is looked at once, whatever SQLite thinks of them, and each row whose checksum is
right goes into a new file. There it has a negative number, so that the numbering of the new epoch begins at 1 and has
no hole: what is lost are the numbers that are missing in the old epoch, which its messages still tell.

    spool.sqlite-broken    only that it is there matters: the last process met damage in `spool.sqlite`
    spool.sqlite-new       is being filled; the next start begins anew with it
    spool.sqlite-salvaged  is complete; the next start puts it in its place
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import BinaryIO, NamedTuple, TypeAlias

from lastlogin_producer.spool.directory import move_aside, sync_directory
from lastlogin_producer.spool.faults import NotStored, translated
from lastlogin_producer.spool.layout import (
    ASIDE_REASONS,
    ROW_OVERHEAD_BYTES,
    Meta,
    connect,
    create,
    is_current,
    read_meta,
    write_meta,
)
from lastlogin_producer.spool.pages import PAGE_BYTES, Found, rows_of
from lastlogin_producer.spool.reader import is_sound


# A start must end. So long takes about 5 million rows; what is left of a larger file stays in it.
DEADLINE_S = 60.0
_BATCH_ROWS = 10_000
# Numbers in memory, of about 100 bytes each.
_MAX_HELD = 200_000
# Numbers given out are below it, so that rows of several salvages keep their order and never meet.
_SHIFT = 2**48
_LOWEST = -(2**61)

_WAL_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_MESSAGE_COLUMNS, _ASIDE_COLUMNS = 4, 5
_REASONS = {reason.encode() for reason in ASIDE_REASONS}


_Values: TypeAlias = tuple[int | bytes | str | None, ...]


class Salvage(NamedTuple):
    """What became of a damaged file: how many rows wait in the new one, and why not more of them, if so."""

    rows: int
    incomplete: str


class _Waiting(NamedTuple):
    """Which rows of the damaged file waited, as far as it can tell."""

    watermark: int = _LOWEST
    held: frozenset[int] = frozenset()

    def __contains__(self, sequence: object) -> bool:
        return isinstance(sequence, int) and (sequence > self.watermark or sequence in self.held)


class _TooLong(Exception):
    """The deadline is over."""


def mark_broken(path: Path) -> None:
    """Note that the file needs `salvage`, for the next start. Raises OSError."""
    _beside(path, "broken").touch(mode=0o600)
    sync_directory(path.parent)


def is_broken(path: Path) -> bool:
    """Whether that was noted."""
    return _beside(path, "broken").exists()


def unmark_broken(path: Path) -> None:
    """Forget that. Raises OSError."""
    _beside(path, "broken").unlink(missing_ok=True)


def salvage(path: Path, backend: str, now_us: int) -> Salvage:
    """Make the spool's file anew, with an epoch of its own; `finish_salvage` puts it in its place.

    Ends for any content. Raises `Unsure`, and `NotStored` when there is no room for all that can be read; the damaged
    file then stays where it is, for the next start.
    """
    new = _beside(path, "new")
    try:
        with translated():
            _remove(new)
            os.close(os.open(new, os.O_CREAT | os.O_CLOEXEC, 0o600))
            saved = _fill(new, path, backend, now_us)
            new.rename(_beside(path, "salvaged"))
            sync_directory(path.parent)
    except NotStored as full:
        _remove(new)
        raise NotStored(
            f"it is damaged, and there is no room beside it for what can be read of it ({full}); make some, and the "
            "next start goes on"
        ) from full
    return saved


def finish_salvage(path: Path, now_us: int) -> Path | None:
    """Put a salvaged file in its place, and return the damaged one's new name; None when there is none."""
    salvaged = _beside(path, "salvaged")
    with translated():
        if not salvaged.exists():
            return None
        # Its WAL must be gone before the new file has its name: SQLite would take it for that one's.
        aside = move_aside(path, "damaged", now_us)
        unmark_broken(path)
        salvaged.rename(path)
        sync_directory(path.parent)
    return aside


def _fill(new: Path, path: Path, backend: str, now_us: int) -> Salvage:
    connection = sqlite3.connect(new, isolation_level=None)
    try:
        create(connection, Meta(now_us, backend))
        # A WAL takes room of its own, and a close leaves in it, without an error, what does not fit into the file.
        connection.execute("PRAGMA journal_mode = MEMORY")
        incomplete = _copy(path, connection)
        rows = _complete(connection, now_us)
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
    return Salvage(rows, incomplete)


def _copy(path: Path, connection: sqlite3.Connection) -> str:
    """Copy what waits; return why it did not come to the end, or nothing."""
    messages: list[_Values] = []
    others: list[_Values] = []
    try:
        deadline = monotonic() + DEADLINE_S
        for found in _rows(path, _waiting(path), deadline):
            if len(found.columns) == _MESSAGE_COLUMNS:
                messages.append((found.sequence, *found.columns[1:]))
            else:
                *columns, reason = found.columns[1:]
                others.append((found.sequence, *columns, bytes(reason).decode()))  # type: ignore[arg-type]
            if len(messages) + len(others) >= _BATCH_ROWS:
                _store(connection, messages, others)
        _store(connection, messages, others)
    except _TooLong:
        _store(connection, messages, others)
        return f"{DEADLINE_S:g} s were not enough to read all of it"
    return ""


def _store(connection: sqlite3.Connection, messages: list[_Values], others: list[_Values]) -> None:
    with translated():
        connection.execute("BEGIN")
        try:
            # Pages are found more than once, for the WAL has them too; their rows never differ.
            connection.executemany("INSERT OR IGNORE INTO messages VALUES (?, ?, ?, ?)", messages)
            connection.executemany("INSERT OR IGNORE INTO aside VALUES (?, ?, ?, ?, ?)", others)
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    messages.clear()
    others.clear()


def _complete(connection: sqlite3.Connection, now_us: int) -> int:
    rows, size, first = connection.execute(
        "SELECT COUNT(*), TOTAL(LENGTH(body)), MIN(sequence) FROM messages"
    ).fetchone()
    below = first - 1 if rows else 0
    connection.execute("BEGIN")
    connection.execute("INSERT INTO marks VALUES (?, ?)", (below, now_us))
    meta = read_meta(connection)
    write_meta(
        connection,
        meta._replace(rows=rows, bytes=int(size) + rows * ROW_OVERHEAD_BYTES, watermark=below, evicted=below),
    )
    connection.execute("COMMIT")
    return int(rows)


def _waiting(path: Path) -> _Waiting:
    """Which rows wait; all of them when the file cannot tell, or too many are held: to send some again does no harm."""
    with suppress(Exception):
        # Whoever opens it for writing also changes it.
        connection = connect(path)
        try:
            if is_current(connection):
                held = frozenset(
                    sequence
                    for (sequence,) in connection.execute("SELECT sequence FROM held LIMIT ?", (_MAX_HELD + 1,))
                )
                if len(held) > _MAX_HELD:
                    return _Waiting()
                return _Waiting(read_meta(connection).watermark, held)
        finally:
            connection.close()
    return _Waiting()


def _rows(path: Path, waiting: _Waiting, deadline: float) -> Iterator[Found]:
    """Rows to take over, under their new numbers."""
    for sequence, columns in _found(path, deadline):
        if not _LOWEST < sequence < _SHIFT or columns[:1] != (None,):
            continue
        if len(columns) == _MESSAGE_COLUMNS:
            wanted = sequence in waiting and is_sound(sequence, *columns[1:])
        else:
            wanted = len(columns) == _ASIDE_COLUMNS and columns[4] in _REASONS and type(columns[3]) is bytes
        if wanted:
            yield Found(sequence - _SHIFT, columns)


def _found(path: Path, deadline: float) -> Iterator[Found]:
    wal = path.with_name(path.name + "-wal")
    with path.open("rb") as main, wal.open("rb") if wal.exists() else open(os.devnull, "rb") as frames:  # noqa: PTH123
        newest = dict(_frames(frames))

        def overflow(number: int) -> bytes:
            at = newest.get(number)
            if at is not None:
                return _page(frames, at)
            return _page(main, (number - 1) * PAGE_BYTES) if number > 0 else b""

        # What is only in the WAL is newest, and was acknowledged as all the rest.
        pages = chain(
            ((frames, at) for _, at in _frames(frames)),
            ((main, at) for at in range(0, main.seek(0, os.SEEK_END), PAGE_BYTES)),
        )
        for file, at in pages:
            yield from rows_of(_page(file, at), overflow)
            if monotonic() > deadline:
                raise _TooLong


def _frames(wal: BinaryIO) -> Iterator[tuple[int, int]]:
    """Page number of each frame, and where its page is. Frames that SQLite would not take count too."""
    end = wal.seek(0, os.SEEK_END)
    for at in range(_WAL_HEADER_BYTES, end, _FRAME_HEADER_BYTES + PAGE_BYTES):
        wal.seek(at)
        yield int.from_bytes(wal.read(4), "big"), at + _FRAME_HEADER_BYTES


def _page(file: BinaryIO, at: int) -> bytes:
    file.seek(at)
    return file.read(PAGE_BYTES)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}-{what}")


def _remove(path: Path) -> None:
    for part in (path, _beside(path, "wal"), _beside(path, "shm")):
        part.unlink(missing_ok=True)
