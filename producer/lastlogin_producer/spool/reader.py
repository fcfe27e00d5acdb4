"""The spool's SQLite file, the reading side: rows out, damaged ones told apart."""

import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from lastlogin_producer.spool.faults import Damaged, translated
from lastlogin_producer.spool.layout import connect
from lastlogin_producer.spool.row import Row, checksum
from lastlogin_schemas import avro


_HELD = """
SELECT messages.* FROM held CROSS JOIN messages ON messages.sequence = held.sequence
WHERE held.sequence > ? ORDER BY held.sequence LIMIT ?
"""
_ABOVE = "SELECT sequence, kind, crc, body FROM messages WHERE sequence > ? ORDER BY sequence LIMIT ?"

# Number, kind, checksum, body; the last ones may be anything.
_Rows: TypeAlias = Generator[tuple[int, Any, Any, Any], None, None]


class SpoolReader:
    """The reading side, with a connection of its own; for one thread at a time.

    Raises `Unsure` or `Damaged` as `SpoolFile` does.
    """

    def __init__(self, path: Path) -> None:
        with translated():
            self._connection = connect(path)

    def read(self, after: int, max_rows: int, max_bytes: int) -> tuple[list[Row], list[int]]:
        """Rows above number `after` that wait, in order, and the numbers of those whose checksum is wrong.

        At least one row if there is any, at most `max_rows`, and no further one once `max_bytes` are reached. Raises
        `Damaged` for a number that cannot be: a row set aside under it would be another one, or none.
        """
        rows: list[Row] = []
        damaged: list[int] = []
        connection = self._connection
        with translated():
            # Both tables at one moment: a row that moves from one to the other between two looks would be missed.
            connection.execute("BEGIN")
            try:
                watermark, last = connection.execute("SELECT watermark, last_sequence FROM meta").fetchone()
                if after < watermark:
                    held = _ascending(connection.execute(_HELD, (after, max_rows)), after, watermark)
                    room = _take(held, rows, damaged, max_bytes)
                    after = watermark if room else after
                else:
                    room = max_bytes
                left = max_rows - len(rows) - len(damaged)
                if room and left:
                    above = _ascending(connection.execute(_ABOVE, (after, left)), after, last)
                    _take(above, rows, damaged, room)
            finally:
                # An unfinished one would keep the WAL from being reused.
                connection.execute("COMMIT")
        return rows, damaged

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _ascending(cursor: sqlite3.Cursor, after: int, last: int) -> _Rows:
    """Rows whose numbers ascend from above `after` to no more than `last`; a flipped bit in one breaks that order."""
    try:
        for row in cursor:
            if not after < row[0] <= last:
                raise Damaged(f"a message {row[0]} is stored between {after} and {last}")
            after = row[0]
            yield row
    finally:
        cursor.close()


def _take(found: _Rows, rows: list[Row], damaged: list[int], max_bytes: int) -> int:
    """Add to `rows` and `damaged`, and return how many bytes there is still room for."""
    with closing(found):
        for sequence, kind, crc, body in found:
            if is_sound(sequence, kind, crc, body):
                rows.append(Row(sequence, kind, body))
                max_bytes -= len(body)
                if max_bytes <= 0:
                    return 0
            else:
                damaged.append(sequence)
    return max_bytes


def is_sound(sequence: int, kind: Any, crc: Any, body: Any) -> bool:
    """Whether a row is as it was stored. A salvaged one has another number (a negative one) than its body tells."""
    return type(body) is bytes and crc == checksum(kind, body) and (sequence < 0 or body.endswith(avro.long(sequence)))
