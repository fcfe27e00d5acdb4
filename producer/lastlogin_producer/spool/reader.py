"""The spool's SQLite file, the reading side: rows out, damaged ones told apart."""

import sqlite3
from pathlib import Path

from lastlogin_producer.spool.faults import translated
from lastlogin_producer.spool.row import Row, checksum
from lastlogin_schemas import avro


# Only the moment in which the writer starts a new WAL makes a reader wait.
_BUSY_TIMEOUT_S = 1.0


class SpoolReader:
    """The reading side, with a connection of its own; for one thread at a time.

    Raises `Unsure` or `Damaged` as `SpoolFile` does.
    """

    def __init__(self, path: Path) -> None:
        with translated():
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_S, check_same_thread=False
            )

    def read(self, after: int, max_rows: int, max_bytes: int) -> tuple[list[Row], list[int]]:
        """Rows above sequence `after` in order, and the sequences of those among them whose checksum is wrong.

        At least one row if there is any, at most `max_rows`, and no further one once `max_bytes` are reached.
        """
        rows: list[Row] = []
        damaged: list[int] = []
        size = 0
        with translated():
            cursor = self._connection.execute(
                "SELECT sequence, kind, crc, body FROM messages WHERE sequence > ? ORDER BY sequence LIMIT ?",
                (after, max_rows),
            )
            try:
                for sequence, kind, crc, body in cursor:
                    if type(body) is bytes and crc == checksum(kind, body) and body.endswith(avro.long(sequence)):
                        rows.append(Row(sequence, kind, body))
                        size += len(body)
                        if size >= max_bytes:
                            break
                    else:
                        damaged.append(sequence)
            finally:
                # An unfinished SELECT would keep the WAL from being reused.
                cursor.close()
        return rows, damaged

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
