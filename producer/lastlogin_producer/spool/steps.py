"""What a group does to rows that are stored already, each step within its transaction and of bounded size.

Every step takes `Meta` as it was and returns it as it then is; what is in memory changes only when the transaction
has been committed, and that is `SpoolFile`'s business.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from lastlogin_producer.spool.faults import Damaged
from lastlogin_producer.spool.layout import ROW_OVERHEAD_BYTES, Meta


# Delivered rows above the watermark that memory holds (about 100 bytes each). With more, a partition is behind for
# long, and those that wait for it are written to `held`: so many with a group, which takes about 2 ms.
MAX_ABOVE = 20_000
_HOLD_ROWS = 1_000
# Rows that are looked at while the watermark moves through rows of which few wait.
_PASS_ROWS = 10_000

# Rows up to the next mark were stored within this time of the one before them.
MARK_EVERY_US = 60_000_000

# Deliveries come from several partitions, so their numbers have gaps; shorter ones are read over.
_GAP_ROWS = 64


def sizes(connection: sqlite3.Connection, numbers: AbstractSet[int]) -> dict[int, int]:
    """Bytes of each of these rows that exists."""
    found: dict[int, int] = {}
    for first, last in _stretches(sorted(numbers)):
        cursor = connection.execute(
            "SELECT sequence, LENGTH(body) FROM messages WHERE sequence BETWEEN ? AND ?", (first, last)
        )
        found.update((sequence, size + ROW_OVERHEAD_BYTES) for sequence, size in cursor if sequence in numbers)
    return found


def move_watermark(
    connection: sqlite3.Connection, meta: Meta, above: Mapping[int, int], most_above: int
) -> tuple[Meta, dict[int, int], bool]:
    """Move it past delivered rows (`above`: number and bytes), and past numbers that no row has.

    Returns the delivered rows that it passed, and whether more than `most_above` are left. Raises `Damaged` when rows
    are missing.
    """
    watermark = meta.watermark
    passed: dict[int, int] = {}
    while True:
        while (size := above.get(watermark + 1)) is not None:
            watermark += 1
            passed[watermark] = size
        (following,) = connection.execute(
            "SELECT MIN(sequence) FROM messages WHERE sequence > ?", (watermark,)
        ).fetchone()
        if following is None:
            watermark = max(watermark, meta.last_sequence)
            if len(passed) < meta.rows and not connection.execute("SELECT 1 FROM held LIMIT 1").fetchone():
                raise Damaged(f"{meta.rows - len(passed)} rows that should wait are not there")
            break
        if following > meta.last_sequence:
            raise Damaged(f"it holds a message {following}, and the last one that was stored is {meta.last_sequence}")
        watermark = following - 1
        if following not in above:
            break
    too_long = len(above) - len(passed) > most_above
    if too_long:
        watermark = _hold(connection, watermark, above, passed)
    rows, size = len(passed), sum(passed.values())
    meta = meta._replace(
        watermark=watermark,
        rows=meta.rows - rows,
        bytes=meta.bytes - size,
        kept_rows=meta.kept_rows + rows,
        kept_bytes=meta.kept_bytes + size,
    )
    return meta, passed, too_long and len(above) - len(passed) > most_above


def _hold(connection: sqlite3.Connection, watermark: int, above: Mapping[int, int], passed: dict[int, int]) -> int:
    """Move on past rows that wait, which go into `held`; add to `passed`, and return the new watermark."""
    held: list[tuple[int]] = []
    cursor = connection.execute(
        "SELECT sequence FROM messages WHERE sequence > ? ORDER BY sequence LIMIT ?", (watermark, _PASS_ROWS)
    )
    for (sequence,) in cursor:
        if len(passed) == len(above):
            break
        if (size := above.get(sequence)) is not None:
            passed[sequence] = size
        elif len(held) == _HOLD_ROWS:
            break
        else:
            held.append((sequence,))
        watermark = sequence
    cursor.close()
    connection.executemany("INSERT INTO held VALUES (?)", held)
    return watermark


def release_held(connection: sqlite3.Connection, meta: Meta, delivered: Mapping[int, int]) -> Meta:
    """Take delivered rows (number and bytes) at or below the watermark out of `held`; unknown ones mean nothing."""
    for sequence, size in delivered.items():
        if not connection.execute("DELETE FROM held WHERE sequence = ?", (sequence,)).rowcount:
            continue
        meta = meta._replace(rows=meta.rows - 1, bytes=meta.bytes - size)
        if sequence > meta.evicted:
            meta = meta._replace(kept_rows=meta.kept_rows + 1, kept_bytes=meta.kept_bytes + size)
        else:
            connection.execute("DELETE FROM messages WHERE sequence = ?", (sequence,))
    return meta


def set_aside(connection: sqlite3.Connection, meta: Meta, reasons: Mapping[int, str]) -> Meta:
    """Move rows (number and reason) to the table `aside`."""
    for sequence, reason in reasons.items():
        found = sizes(connection, {sequence})
        connection.execute(
            "INSERT OR REPLACE INTO aside SELECT *, ? FROM messages WHERE sequence = ?", (reason, sequence)
        )
        connection.execute("DELETE FROM messages WHERE sequence = ?", (sequence,))
        waited = connection.execute("DELETE FROM held WHERE sequence = ?", (sequence,)).rowcount
        for size in found.values():
            if waited or sequence > meta.watermark:
                meta = meta._replace(rows=meta.rows - 1, bytes=meta.bytes - size)
            else:
                meta = meta._replace(kept_rows=meta.kept_rows - 1, kept_bytes=meta.kept_bytes - size)
    return meta


def evict(connection: sqlite3.Connection, meta: Meta, last: int, most: int) -> Meta:
    """Delete the oldest kept rows: up to number `last`, and after a look at no more than `most` rows."""
    last = min(last, meta.watermark)
    looked, end, rows, size = connection.execute(
        "SELECT COUNT(*), MAX(sequence), TOTAL(free), TOTAL(free * size) FROM ("
        " SELECT messages.sequence AS sequence, LENGTH(body) AS size, held.sequence IS NULL AS free"
        " FROM messages LEFT JOIN held ON held.sequence = messages.sequence"
        " WHERE messages.sequence > ? AND messages.sequence <= ? ORDER BY messages.sequence LIMIT ?)",
        (meta.evicted, last, most),
    ).fetchone()
    if looked < most:
        end = max(last, meta.evicted)
    if rows:
        connection.execute(
            "DELETE FROM messages WHERE sequence > ? AND sequence <= ? AND sequence NOT IN (SELECT sequence FROM held)",
            (meta.evicted, end),
        )
    # The mark before the first kept row tells when that one came.
    connection.execute(
        "DELETE FROM marks WHERE sequence < (SELECT MAX(sequence) FROM marks WHERE sequence <= ?)", (end,)
    )
    return meta._replace(
        evicted=end,
        kept_rows=meta.kept_rows - int(rows),
        kept_bytes=meta.kept_bytes - int(size) - int(rows) * ROW_OVERHEAD_BYTES,
    )


def last_before(connection: sqlite3.Connection, at_us: int, meta: Meta) -> int:
    """Return the number up to which all rows were stored before `at_us`.

    That is the first mark that is not old, whatever later ones say: one login while the clock is behind does not make
    all before it old. What a clock ahead has marked stays until that time, or until it is too much.
    """
    (mark,) = connection.execute("SELECT MIN(sequence) FROM marks WHERE at_us > ?", (at_us - MARK_EVERY_US,)).fetchone()
    return meta.last_sequence if mark is None else int(mark)


def first_since(connection: sqlite3.Connection, at_us: int, meta: Meta) -> int:
    """Return the number above which all rows are that were stored at `at_us` or later, and a minute's before."""
    (mark,) = connection.execute("SELECT MIN(sequence) FROM marks WHERE at_us > ?", (at_us - MARK_EVERY_US,)).fetchone()
    return meta.last_sequence if mark is None else max(int(mark), meta.evicted)


def wait_again(connection: sqlite3.Connection, meta: Meta, above: int, most: int) -> tuple[Meta, int]:
    """Move the watermark back over the newest kept rows: down to `above`, over no more than `most` rows.

    Returns how many of them wait again.
    """
    above = max(above, meta.evicted)
    looked, first, rows, size = connection.execute(
        "SELECT COUNT(*), MIN(sequence), TOTAL(free), TOTAL(free * size) FROM ("
        " SELECT messages.sequence AS sequence, LENGTH(body) AS size, held.sequence IS NULL AS free"
        " FROM messages LEFT JOIN held ON held.sequence = messages.sequence"
        " WHERE messages.sequence > ? AND messages.sequence <= ? ORDER BY messages.sequence DESC LIMIT ?)",
        (above, meta.watermark, most),
    ).fetchone()
    watermark = above if looked < most else first - 1
    connection.execute("DELETE FROM held WHERE sequence > ?", (watermark,))
    count, size = int(rows), int(size) + int(rows) * ROW_OVERHEAD_BYTES
    meta = meta._replace(
        watermark=watermark,
        rows=meta.rows + count,
        bytes=meta.bytes + size,
        kept_rows=meta.kept_rows - count,
        kept_bytes=meta.kept_bytes - size,
    )
    return meta, count


def _stretches(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last number of each stretch without a long gap."""
    first = last = None
    for number in numbers:
        if last is None or number > last + _GAP_ROWS:
            if first is not None and last is not None:
                yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last
