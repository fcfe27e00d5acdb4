"""The spool's SQLite file, the reading side: rows out, damaged ones told apart."""

import sqlite3
from pathlib import Path
from typing import Any

from lastlogin_producer.spool.faults import translated
from lastlogin_producer.spool.row import Row, checksum
from lastlogin_schemas import avro


# Only the moment in which the writer starts a new WAL makes a reader wait.
_BUSY_TIMEOUT_S = 1.0

_HELD = """
SELECT messages.* FROM held CROSS JOIN messages ON messages.sequence = held.sequence
WHERE held.sequence > ? ORDER BY held.sequence LIMIT ?
"""
_ABOVE = "SELECT sequence, kind, crc, body FROM messages WHERE sequence > ? ORDER BY sequence LIMIT ?"


class SpoolReader:
    """The reading side, with a connection of its own; for one thread at a time.

    Raises `Unsure` or `Damaged` as `SpoolFile` does.
    """

    def __init__(self, path: Path) -> None:
        with translated():
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro",
                uri=True,
                timeout=_BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )

    def read(self, after: int, max_rows: int, max_bytes: int) -> tuple[list[Row], list[int]]:
        """Rows above number `after` that wait, in order, and the numbers of those whose checksum is wrong.

        At least one row if there is any, at most `max_rows`, and no further one once `max_bytes` are reached.
        """
        rows: list[Row] = []
        damaged: list[int] = []
        connection = self._connection
        with translated():
            # Both tables at one moment: a row that moves from one to the other between two looks would be missed.
            connection.execute("BEGIN")
            try:
                (watermark,) = connection.execute("SELECT watermark FROM meta").fetchone()
                if after < watermark:
                    room = _take(connection.execute(_HELD, (after, max_rows)), rows, damaged, max_bytes)
                    after = watermark if room else after
                else:
                    room = max_bytes
                left = max_rows - len(rows) - len(damaged)
                if room and left:
                    _take(connection.execute(_ABOVE, (after, left)), rows, damaged, room)
            finally:
                # An unfinished one would keep the WAL from being reused.
                connection.execute("COMMIT")
        return rows, damaged

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _take(cursor: sqlite3.Cursor, rows: list[Row], damaged: list[int], max_bytes: int) -> int:
    """Add to `rows` and `damaged`, and return how many bytes there is still room for."""
    try:
        for sequence, kind, crc, body in cursor:
            if is_sound(sequence, kind, crc, body):
                rows.append(Row(sequence, kind, body))
                max_bytes -= len(body)
                if max_bytes <= 0:
                    return 0
            else:
                damaged.append(sequence)
    finally:
        cursor.close()
    return max_bytes


def is_sound(sequence: int, kind: Any, crc: Any, body: Any) -> bool:
    """Whether a row is as it was stored. A salvaged one has another number (a negative one) than its body tells."""
    return type(body) is bytes and crc == checksum(kind, body) and (sequence < 0 or body.endswith(avro.long(sequence)))
