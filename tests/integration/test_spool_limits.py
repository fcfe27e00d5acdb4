"""What the spool does when the disk is full, slow, broken or locked, and when its own bounds are reached."""

import asyncio
import resource
import sqlite3
import sys
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path

import pytest

from lastlogin_producer.outcome import Outcome
from lastlogin_producer.spool import Spool, SpoolFault, room, steps, writer
from lastlogin_producer.spool import spool as spool_module
from lastlogin_producer.spool.spool import FILE_NAME
from tests.support.spool import append, keep, left, open_spool, read_all, store, unnumbered, users


# A login that takes about 10 KiB.
BIG = unnumbered(attributes={"padding": "x" * 10_000})


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """The spool's file as while somebody else writes to it."""
    connection = sqlite3.connect(directory / FILE_NAME, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


@contextmanager
def files_bounded(size: int) -> Iterator[None]:
    """No file can grow beyond `size`: writing more is an I/O error, as of a broken disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def wal(directory: Path) -> int:
    """Size of the WAL."""
    return (directory / f"{FILE_NAME}-wal").stat().st_size


def max_pages(spool: Spool, pages: int) -> None:
    """Bound the database as a full disk does: SQLite reports the same error."""
    spool._file._connection.execute(f"PRAGMA max_page_count = {pages}")


async def test_quota_of_bytes(tmp_path: Path) -> None:
    """Above max_bytes messages are refused, what is stored stays, and delivered rows make room."""
    async with open_spool(tmp_path, max_bytes=100_000) as spool:
        outcomes = await append(spool, *[BIG] * 15)

        assert [Outcome.STORED] * 10 + [Outcome.FULL] * 5 == outcomes
        assert [Outcome.FULL] == await append(spool, BIG)
        assert 100_000 <= spool.bytes_waiting < 111_000
        spool.delivered([1, 2, 3])
        await left(spool)
        assert [Outcome.STORED, Outcome.STORED, Outcome.STORED, Outcome.FULL] == [
            (await append(spool, BIG))[0] for _ in range(4)
        ]
        assert list(range(4, 14)) == [row.sequence for row in await read_all(spool)]


async def test_room_alone_ends_fullness(tmp_path: Path) -> None:
    """A full spool that Kafka has emptied is not full any more, also when no login has come since."""
    async with open_spool(tmp_path, max_rows=2) as spool:
        assert Outcome.FULL is (await append(spool, *map(unnumbered, ("a", "b", "c"))))[-1]
        assert spool.full
        spool.delivered([row.sequence for row in await read_all(spool)])
        await left(spool)

        assert not spool.full


async def test_disk_full(tmp_path: Path) -> None:
    """A group that the disk has no room for is refused, without a number lost; afterwards the spool goes on."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a"])
        max_pages(spool, 8)

        assert [Outcome.FULL] * 20 == await append(spool, *[BIG] * 20)
        await store(spool, ["b"])
        max_pages(spool, 1_000_000)
        assert [Outcome.STORED] * 20 == await append(spool, *[BIG] * 20)
        assert list(range(1, 23)) == [row.sequence for row in await read_all(spool)]
        assert not spool.failed.done()


async def test_the_last_of_the_disk_is_kept_for_deleting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nearly full disk refuses messages while rows can still be deleted, so that the spool can empty itself."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a", "b"])
        monkeypatch.setattr(room, "FREE_BYTES", 2**62)

        assert [Outcome.FULL] == await append(spool, BIG)
        spool.delivered([1])
        await left(spool)
        assert [(2, "b")] == await users(spool)


async def test_input_output_error(tmp_path: Path) -> None:
    """A group that the disk fails on is unconfirmed; the file is opened again and goes on without a gap."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a", "b"])
        with files_bounded(wal(tmp_path) + 8192):
            outcomes = await append(spool, *[BIG] * 20)
        await store(spool, ["c", "d"])

        assert [Outcome.UNCONFIRMED] * 20 == outcomes
        sequences = [row.sequence for row in await read_all(spool)]
        assert list(range(1, len(sequences) + 1)) == sequences
        assert not spool.failed.done()
    async with open_spool(tmp_path) as spool:
        assert sequences == [row.sequence for row in await read_all(spool)]


async def test_a_disk_that_stays_broken_ends_the_spool(tmp_path: Path) -> None:
    """When the file cannot be opened again the spool says so and refuses; what was stored is there afterwards."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a"])
        with files_bounded(4096):
            assert [Outcome.UNCONFIRMED] == await append(spool, BIG)
            async with asyncio.timeout(10):
                end = await spool.failed
            assert [Outcome.FULL] == await append(spool, unnumbered("b"))

        assert 75 == end.code
        assert "cannot be used" in end.message
    async with open_spool(tmp_path) as spool:
        assert (1, "a") == (await users(spool))[0]


async def test_a_file_removed_while_in_use_ends_the_spool(tmp_path: Path) -> None:
    """A message is not confirmed that went into a file which nobody will find again."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a"])
        (tmp_path / FILE_NAME).unlink()

        assert [Outcome.UNCONFIRMED] == await append(spool, unnumbered("b"))
        async with asyncio.timeout(10):
            assert 75 == (await spool.failed).code


async def test_a_defect_while_sending_again_ends_the_spool(tmp_path: Path) -> None:
    """A time that no file has room for: whoever asked hears of it, `failed` is set, and logins are answered."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a"])
        with pytest.raises(SpoolFault):
            await asyncio.wait_for(spool.resend(10**30), 10)
        async with asyncio.timeout(10):
            assert 75 == (await spool.failed).code

        assert spool.writer_alive
        assert [Outcome.FULL] == await append(spool, unnumbered("b"))


async def test_an_error_that_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is tried again after a pause, logged once, and given up after twenty times."""
    monkeypatch.setattr(writer, "_SETTLE_WITHIN_S", 0.05)
    times: list[float] = []

    def fail(*_: object) -> None:
        times.append(time.monotonic())
        raise sqlite3.OperationalError("disk I/O error")

    async with open_spool(tmp_path) as spool:
        await store(spool, ["a", "b"])
        monkeypatch.setattr(steps, "move_watermark", fail)
        spool.set_aside([1], "corrupt")
        async with asyncio.timeout(10):
            assert 75 == (await spool.failed).code
        monkeypatch.undo()

    assert 20 == len(times)
    assert times[-1] - times[0] > 19 * 0.04
    output = capsys.readouterr().out
    assert (1, 1) == (output.count("cannot be written"), output.count("was opened again"))


async def test_tables_that_contradict_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A constraint that does not hold is damage, which no second try mends."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a", "b"])
        monkeypatch.setattr(writer, "_SETTLE_WITHIN_S", 0.05)
        spool._file._connection.execute("INSERT INTO messages VALUES (3, 1, 1, x'00')")

        assert [Outcome.UNCONFIRMED] == await append(spool, unnumbered("c"))
        async with asyncio.timeout(10):
            assert "is damaged" in (await spool.failed).message


async def test_an_error_forgets_no_delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Kafka has is not sent again, nor waits, because the disk failed when it was to be noted."""
    sizes = steps.sizes
    failed: list[bool] = []

    def fail_once(connection: sqlite3.Connection, numbers: AbstractSet[int]) -> dict[int, int]:
        if not failed:
            failed.append(True)
            raise sqlite3.OperationalError("disk I/O error")
        return sizes(connection, numbers)

    async with open_spool(tmp_path) as spool:
        await store(spool, [f"user{n}" for n in range(50)])
        monkeypatch.setattr(steps, "sizes", fail_once)
        spool.delivered(range(1, 51))
        await left(spool)

        assert failed
        assert (0, 0, 50) == (spool.rows_waiting, spool.bytes_waiting, spool.rows_kept)


async def test_a_disk_that_is_free_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spool notices by itself that others have made room: no login needs to come, nor anything be delivered."""
    monkeypatch.setattr(writer, "_SETTLE_WITHIN_S", 0.05)
    async with open_spool(tmp_path) as spool:
        free = room.FREE_BYTES
        monkeypatch.setattr(room, "FREE_BYTES", 2**62)
        assert [Outcome.FULL] == await append(spool, unnumbered("a"))
        assert spool.full
        monkeypatch.setattr(room, "FREE_BYTES", free)
        async with asyncio.timeout(10):
            while spool.full:
                spool.arrived.clear()
                await spool.arrived.wait()


# Its reads hang, as on a disk that does; it must end all the same.
HANGING = """
import asyncio, sys, time
from pathlib import Path
from lastlogin_producer.settings import SpoolSettings
from lastlogin_producer.spool import BEGINNING, Spool
from tests.support.spool import keep, store

async def main():
    spool = Spool(SpoolSettings(directory=Path(sys.argv[1])), "mail1", time.time_ns)
    await store(spool, ["a"])
    spool._reader.read = lambda *_: time.sleep(60)
    reading = asyncio.create_task(spool.read(BEGINNING))
    await asyncio.sleep(0)
    begun = time.monotonic()
    await spool.close(1.0)
    assert time.monotonic() - begun < 1.5
    reading.cancel()

asyncio.run(main())
"""


async def test_a_read_that_hangs(tmp_path: Path) -> None:
    """Closing keeps to its deadline, and the process ends."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HANGING, str(tmp_path / "spool"))
    try:
        async with asyncio.timeout(20):
            assert 0 == await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    async with open_spool(tmp_path / "spool") as spool:
        assert [(1, "a")] == await users(spool)


async def test_locked_by_a_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign lock costs a second and the group, not the spool; messages beyond the queue's bound go at once."""
    monkeypatch.setattr(spool_module, "MAX_QUEUED", 10)
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a"])
        with locked(tmp_path):
            order: list[int] = []
            waiting = [asyncio.create_task(append(spool, unnumbered(f"user{n}"))) for n in range(12)]
            for number, task in enumerate(waiting):
                task.add_done_callback(lambda _, number=number: order.append(number))  # type: ignore[misc]
            outcomes = await asyncio.gather(*waiting)

            assert [[Outcome.FULL]] * 12 == outcomes
            assert [10, 11] == order[:2]
        await store(spool, ["b"])
        assert [(1, "a"), (2, "b")] == await users(spool)


async def test_a_queue_is_bounded_in_bytes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long messages fill the queue before there are many of them; what is settled makes room again."""
    monkeypatch.setattr(spool_module, "MAX_QUEUED_BYTES", 1_000)
    async with open_spool(tmp_path) as spool:
        outcomes = await append(spool, *(unnumbered("u" * 300) for _ in range(10)))

        assert Outcome.FULL in outcomes
        assert outcomes.count(Outcome.STORED) in (1, 2, 3)
        await store(spool, ["later"])


async def test_a_callback_that_fails_holds_up_nobody(tmp_path: Path) -> None:
    """Every message's outcome is told, whatever the one before does with it; the failure is reported."""
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def fail(_: Outcome) -> None:
        raise ZeroDivisionError

    async with open_spool(tmp_path) as spool:
        keep(spool, unnumbered("a"), fail)

        assert [Outcome.STORED] == await append(spool, unnumbered("b"))
    assert [ZeroDivisionError] == [type(context["exception"]) for context in reported]


async def test_messages_of_the_last_moment_are_stored(tmp_path: Path) -> None:
    """Closing stores what was appended before; what comes later is refused."""
    outcomes: list[Outcome] = []
    async with open_spool(tmp_path) as spool:
        for number in range(100):
            keep(spool, unnumbered(f"user{number}"), outcomes.append)
    keep(spool, unnumbered("late"), outcomes.append)
    await asyncio.sleep(0)

    assert [Outcome.STORED] * 100 + [Outcome.FULL] == outcomes
    async with open_spool(tmp_path) as spool:
        assert 100 == spool.rows_waiting


async def test_the_file_shrinks_and_the_wal_stays_small(tmp_path: Path) -> None:
    """After an outage the disk gets its space back; the WAL never takes more than a few MiB."""
    async with open_spool(tmp_path, keep_hours=0) as spool:
        largest = 0
        for _ in range(20):
            await append(spool, *[BIG] * 100)
            largest = max(largest, wal(tmp_path))
        full = (tmp_path / FILE_NAME).stat().st_size
        for first in range(1, 2001, 50):
            spool.delivered(range(first, first + 50))
            await store(spool, ["small"])
        await left(spool)
    assert (tmp_path / FILE_NAME).stat().st_size < full - 2**20
    assert largest < 6 * 2**20
