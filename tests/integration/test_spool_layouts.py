"""A spool of an earlier version goes on under this one."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from lastlogin_service.exits import Exit
from tests.support.spool import decoded, left, open_spool, read_all, store


# Written by the version that knew layout 1: 200 rows, every tenth a quarantined write; 1-50, 60, 61 and 191-200 were
# delivered, 100 is set aside, 101 has a wrong checksum.
LAYOUT_1 = Path(__file__).parents[1] / "data" / "spool" / "layout-1.sqlite"
EPOCH = 1_795_387_910_000_000
WAITING = [number for number in range(51, 191) if number not in (60, 61, 100, 101)]


async def test_layout_1_goes_on(tmp_path: Path) -> None:
    """Every row that waits is read with its number, what was set aside stays so, and numbering goes on."""
    shutil.copy(LAYOUT_1, tmp_path / "spool.sqlite")
    async with open_spool(tmp_path) as spool:
        assert (EPOCH, 137, 10_753, 200) == (
            spool.epoch,
            spool.rows_waiting,
            spool.bytes_waiting,
            spool.last_sequence,
        )
        rows = await read_all(spool)

        assert WAITING == [row.sequence for row in rows]
        assert [(EPOCH, number, "mail1") for number in WAITING] == [
            (message.epoch, message.sequence, message.backend) for message in map(decoded, rows)
        ]
        assert {number: b"user%d" % number for number in WAITING if number % 10 == 0} == {
            row.sequence: decoded(row).user for row in rows if row.kind == 2
        }
        assert {"damaged": 2} == spool.rows_set_aside
        await store(spool, ["next"])
        spool.delivered(WAITING)
        await left(spool)
        assert (1, len(WAITING)) == (spool.rows_waiting, spool.rows_kept)
    async with open_spool(tmp_path) as spool:
        assert [(201, "next")] == [(row.sequence, decoded(row).user) for row in await read_all(spool)]


async def test_layout_1_without_rows_goes_on(tmp_path: Path) -> None:
    """Numbering goes on above what an emptied spool has given out."""
    shutil.copy(LAYOUT_1, tmp_path / "spool.sqlite")
    with sqlite3.connect(tmp_path / "spool.sqlite") as connection:
        connection.execute("DELETE FROM messages")
        connection.execute("UPDATE meta SET rows = 0, bytes = 0")
    connection.close()
    async with open_spool(tmp_path) as spool:
        await store(spool, ["next"])

        assert [201] == [row.sequence for row in await read_all(spool)]


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    """The tables change in one transaction: a file that an error interrupted is still of layout 1, and whole."""
    file = tmp_path / "spool.sqlite"
    shutil.copy(LAYOUT_1, file)
    with sqlite3.connect(file) as connection:
        # In the way of a later one of the statements.
        connection.execute("CREATE TABLE held (other)")
    connection.close()
    with pytest.raises(Exit, match="cannot open the spool"):
        async with open_spool(tmp_path):
            pass
    with sqlite3.connect(file) as connection:
        assert (1,) == connection.execute("PRAGMA user_version").fetchone()
        assert (137, 1) == connection.execute(
            "SELECT (SELECT COUNT(*) FROM messages), (SELECT COUNT(*) FROM damaged)"
        ).fetchone()
    connection.close()
