"""What the spool is after a restart, whatever happened to its file meanwhile."""

import asyncio
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from lastlogin_producer.outcome import Outcome
from lastlogin_producer.spool.spool import FILE_NAME
from lastlogin_service.exits import CONFIG, TEMPFAIL, Exit
from tests.support.spool import BACKEND, append, decoded, edit, left, open_spool, read_all, store, unnumbered, users


def contents(directory: Path, pattern: str) -> list[bytes]:
    """What the files that fit `pattern` hold."""
    return [path.read_bytes() for path in directory.glob(pattern)]


async def test_rows_and_numbering_survive(tmp_path: Path) -> None:
    """A restart finds every undelivered row, goes on counting, and stays in its epoch."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a", "b", "c"])
        epoch = spool.epoch
    async with open_spool(tmp_path) as spool:
        assert (epoch, 3, 3) == (spool.epoch, spool.rows_waiting, spool.last_sequence)
        await store(spool, ["d"])

        assert [(1, "a"), (2, "b"), (3, "c"), (4, "d")] == await users(spool)
        assert {epoch} == {decoded(row).epoch for row in await read_all(spool)}


async def test_delivered_rows_leave_for_good(tmp_path: Path) -> None:
    """A delivered row is not read again, neither at once nor after a restart, and its number is not used again."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a", "b", "c"])
        spool.delivered([1, 3])

        assert 1 == spool.rows_waiting
        assert [(2, "b")] == await users(spool)
    async with open_spool(tmp_path) as spool:
        assert 1 == spool.rows_waiting
        assert [(2, "b")] == await users(spool)
        spool.delivered([2])
        await left(spool)
        assert (0, 3) == (spool.rows_waiting, spool.rows_kept)
    async with open_spool(tmp_path) as spool:
        assert (0, 0) == (spool.rows_waiting, spool.bytes_waiting)
        await store(spool, ["d"])

        assert [(4, "d")] == await users(spool)


async def test_a_copy_taken_at_any_moment_holds_what_was_stored(tmp_path: Path) -> None:
    """Database and WAL as they are on disk while in use, as a crash leaves them, hold every stored message."""
    async with open_spool(tmp_path / "live") as spool:
        for number in range(20):
            await store(spool, [f"user{number}"])
            copy = tmp_path / f"copy{number}"
            copy.mkdir(mode=0o700)
            for name in (FILE_NAME, f"{FILE_NAME}-wal"):
                shutil.copy(tmp_path / "live" / name, copy / name)
            async with open_spool(copy) as crashed:
                assert [(n + 1, f"user{n}") for n in range(number + 1)] == await users(crashed)


async def test_a_damaged_row_is_set_aside(tmp_path: Path) -> None:
    """A row with a flipped bit is kept in a table of its own, counted, and holds up nobody."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a", "b", "c", "d"])
    edit(
        tmp_path,
        "UPDATE messages SET body = CAST(replace(CAST(body AS TEXT), 'imap', 'inap') AS BLOB) WHERE sequence = 2",
        "UPDATE messages SET kind = 2 WHERE sequence = 3",
    )
    async with open_spool(tmp_path) as spool:
        assert [(1, "a"), (4, "d")] == await users(spool)
        assert ({"damaged": 2}, 2) == (spool.rows_set_aside, spool.rows_waiting)
    async with open_spool(tmp_path) as spool:
        assert [(1, "a"), (4, "d")] == await users(spool)
        assert ({"damaged": 2}, 2) == (spool.rows_set_aside, spool.rows_waiting)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert [(2, "damaged"), (3, "damaged")] == connection.execute("SELECT sequence, reason FROM aside").fetchall()
    connection.close()


async def test_reading_passes_over_any_number_of_damaged_rows(tmp_path: Path) -> None:
    """A read that meets nothing but damaged rows goes on to the sound ones behind them."""
    async with open_spool(tmp_path) as spool:
        await store(spool, [f"user{n}" for n in range(30)])
    edit(tmp_path, "UPDATE messages SET crc = crc + 1 WHERE sequence < 30")
    async with open_spool(tmp_path) as spool:
        [row] = await spool.read(0, limit=10)

        assert 30 == row.sequence
        assert {"damaged": 29} == spool.rows_set_aside


async def test_a_file_that_is_no_database_is_moved_aside(tmp_path: Path) -> None:
    """The damaged file keeps its content under another name; a new spool begins a new epoch, with its rows first."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a"])
        epoch = spool.epoch
    file = tmp_path / FILE_NAME
    garbage = b"garbage!" + file.read_bytes()[8:]
    file.write_bytes(garbage)
    async with open_spool(tmp_path) as spool:
        await store(spool, ["b"])

        [(number, a), b] = await users(spool)
        assert (number < 0, a, b) == (True, "a", (1, "b"))
        assert epoch < spool.epoch
        assert [(epoch, 1), (spool.epoch, 1)] == [
            (message.epoch, message.sequence) for message in map(decoded, await read_all(spool))
        ]
    assert [garbage] == contents(tmp_path, f"{FILE_NAME}.damaged-*")


async def test_a_damaged_page_ends_the_spool(tmp_path: Path) -> None:
    """A page that SQLite cannot read ends it with a reason; the next start has the rows of all other pages."""
    async with open_spool(tmp_path) as spool:
        await store(spool, [f"user{n}" for n in range(200)])
    file = tmp_path / FILE_NAME
    content = bytearray(file.read_bytes())
    # Past the pages of schema and meta: rows.
    content[10 * 4096 : 13 * 4096] = bytes(3 * 4096)
    file.write_bytes(content)
    async with open_spool(tmp_path) as spool:
        with pytest.raises(Exception, match="malformed"):
            await read_all(spool)
        async with asyncio.timeout(10):
            end = await spool.failed

        assert TEMPFAIL == end.code
        assert "damaged" in end.message
        assert [Outcome.FULL] == await append(spool, unnumbered())
    async with open_spool(tmp_path) as spool:
        await store(spool, ["b"])
        *saved, last = await users(spool)

        assert (1, "b") == last
        assert 100 < len(saved) < 200
        assert {user for _, user in saved} < {f"user{n}" for n in range(200)}


async def test_a_later_layout_is_refused(tmp_path: Path) -> None:
    """A spool of a later version is left alone, in words."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a"])
    edit(tmp_path, "PRAGMA user_version = 3")
    with pytest.raises(Exit, match="later version") as raised:
        async with open_spool(tmp_path):
            pass

    assert CONFIG == raised.value.code
    edit(tmp_path, "PRAGMA user_version = 2")
    async with open_spool(tmp_path) as spool:
        assert 1 == spool.rows_waiting


async def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    """A database of another program is never written to."""
    edit(tmp_path, "CREATE TABLE theirs (a)")
    with pytest.raises(Exit, match="another program") as raised:
        async with open_spool(tmp_path):
            pass

    assert CONFIG == raised.value.code


async def test_a_second_instance_is_refused(tmp_path: Path) -> None:
    """Two producers cannot use one spool; the first is not disturbed, and its end frees the place."""
    async with open_spool(tmp_path) as spool:
        with pytest.raises(Exit, match="another producer uses this spool") as raised:
            async with open_spool(tmp_path):
                pass

        assert TEMPFAIL == raised.value.code
        await store(spool, ["a"])
    async with open_spool(tmp_path) as spool:
        assert 1 == spool.rows_waiting


@pytest.mark.parametrize("mode", [0o770, 0o707])
async def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever may write there could replace the spool."""
    directory = tmp_path / "spool"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(Exit, match="chmod go-w") as raised:
        async with open_spool(directory):
            pass

    assert CONFIG == raised.value.code


async def test_what_it_makes_is_private(tmp_path: Path) -> None:
    """Directory and files are made for our user alone."""
    directory = tmp_path / "var" / "spool"
    async with open_spool(directory) as spool:
        await store(spool, ["a"])
        made = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}

    assert 0o700 == stat.S_IMODE(directory.stat().st_mode)
    assert {0o600} == set(made.values())
    assert {FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", f"{FILE_NAME}-last", "spool.lock"} == set(made)


async def test_a_renamed_backend_finishes_under_its_old_name(tmp_path: Path) -> None:
    """While messages of the old name wait the name stays, for their numbering goes on; then a new epoch begins."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a"])
        epoch = spool.epoch
    async with open_spool(tmp_path, backend="new") as spool:
        assert (BACKEND, epoch) == (spool.backend, spool.epoch)
        spool.delivered([1])
    async with open_spool(tmp_path, backend="new") as spool:
        await store(spool, ["b"])

        assert "new" == spool.backend
        assert epoch < spool.epoch
        assert [(1, "b")] == await users(spool)


async def test_a_renamed_backend_keeps_what_was_set_aside(tmp_path: Path) -> None:
    """While messages are set aside the name stays, too: in a file of another name nothing would count them."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a", "b"])
        spool.set_aside([2], "too_large")
        spool.delivered([1])
    async with open_spool(tmp_path, backend="new") as spool:
        assert (BACKEND, 0, {"too_large": 1}) == (spool.backend, spool.rows_waiting, spool.rows_set_aside)
    edit(tmp_path, "DELETE FROM aside")
    async with open_spool(tmp_path, backend="new") as spool:
        assert "new" == spool.backend
