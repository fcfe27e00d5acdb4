"""What a damaged spool's successor has of it, and how what is lost can be told."""

import asyncio
import os
import shutil
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from random import Random

import pytest

from lastlogin_producer.outcome import Outcome
from lastlogin_producer.records import RecordForm
from lastlogin_producer.spool import Spool, SpoolFault, salvage
from lastlogin_producer.spool.last_number import LastNumber
from lastlogin_producer.spool.spool import FILE_NAME
from lastlogin_schemas.event import RawWrite
from tests.support.batch import filled
from tests.support.spool import BACKEND, append, decoded, edit, left, open_spool, read_all, store, unnumbered


PAGE = 4_096
LOGINS = 2_000
# As many more are still in the WAL.
IN_WAL = 60
ALL = range(1, LOGINS + IN_WAL + 1)
# Longer than a page.
LONG = unnumbered("long", attributes={"padding": "x" * 20_000})
QUARANTINED = RawWrite(b"\xff", "bad_value", "detail", "statsdb", ((b"shared/key", b"value"),), BACKEND, 5)


@pytest.fixture
async def crashed(tmp_path: Path) -> Path:
    """The directory of a spool as `kill -9` leaves it: database, WAL, and the rest. All of its rows wait."""
    live, crashed = tmp_path / "live", tmp_path / "crashed"
    async with open_spool(live) as spool:
        messages = [unnumbered(f"user{n}") for n in ALL]
        messages[6] = LONG
        await append(spool, *messages[: LOGINS - 1], QUARANTINED)
        spool._file._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for message in messages[LOGINS:]:
            await append(spool, message)
        shutil.copytree(live, crashed)
    return crashed


@asynccontextmanager
async def started(directory: Path) -> AsyncIterator[Spool]:
    """The spool after as many starts as a service manager needs until one can read all of it."""
    for _ in range(2):
        async with open_spool(directory) as spool:
            try:
                await read_all(spool)
            except SpoolFault:
                async with asyncio.timeout(10):
                    assert 75 == (await spool.failed).code
                continue
            yield spool
            return
    raise AssertionError("a second start meets the same damage")


async def numbers_of(spool: Spool) -> list[tuple[int, int]]:
    """Epoch and sequence of all messages that wait, as they tell themselves."""
    return [(message.epoch, message.sequence) for message in map(decoded, await read_all(spool))]


def change(path: Path, at: int, content: bytes) -> None:
    """Overwrite a part of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def zero_a_page_of_rows(directory: Path) -> None:
    """Page 15 holds rows."""
    change(directory / FILE_NAME, 14 * PAGE, bytes(PAGE))


def zero_the_first_page(directory: Path) -> None:
    """Header and schema, and what says that the WAL is one: its newer copy of that page does not help SQLite."""
    change(directory / FILE_NAME, 0, bytes(PAGE))
    change(directory / f"{FILE_NAME}-wal", 0, bytes(32))


def zero_every_page_of_meta(directory: Path) -> None:
    """Whatever page it is on, in database and WAL: all that hold no rows."""
    (directory / f"{FILE_NAME}-wal").unlink()
    for page in range(1, 9):
        change(directory / FILE_NAME, page * PAGE, bytes(PAGE))


def truncate(directory: Path) -> None:
    """Half of the database."""
    os.truncate(directory / FILE_NAME, (directory / FILE_NAME).stat().st_size // 2 // PAGE * PAGE)


def remove_wal(directory: Path) -> None:
    """Somebody has tidied up."""
    (directory / f"{FILE_NAME}-wal").unlink()


def cut_wal(directory: Path) -> None:
    """A disk that has lost the end of it."""
    os.truncate(directory / f"{FILE_NAME}-wal", (directory / f"{FILE_NAME}-wal").stat().st_size // 2 + 17)


def flip_a_bit_in_wal(directory: Path) -> None:
    """In the middle of it: SQLite takes all from there on for never written."""
    wal = directory / f"{FILE_NAME}-wal"
    at = wal.stat().st_size // 2
    change(wal, at, bytes([wal.read_bytes()[at] ^ 4]))


def garbage(directory: Path) -> None:
    """Nothing is left."""
    size = (directory / FILE_NAME).stat().st_size
    change(directory / FILE_NAME, 0, Random(7).randbytes(size))  # noqa: S311 - repeatable on purpose


@pytest.mark.parametrize(
    ("damage", "least", "most"),
    [
        (zero_a_page_of_rows, len(ALL) - 90, len(ALL) - 1),
        (zero_the_first_page, len(ALL), len(ALL)),
        (zero_every_page_of_meta, LOGINS - 400, LOGINS),
        (truncate, 600, len(ALL) - 1),
        (remove_wal, LOGINS, LOGINS),
        (cut_wal, LOGINS + 1, len(ALL) - 1),
        (flip_a_bit_in_wal, len(ALL) - 30, len(ALL)),
        (garbage, IN_WAL, len(ALL) - 1),
    ],
)
async def test_what_can_be_read_is_saved(crashed: Path, damage: Callable[[Path], None], least: int, most: int) -> None:
    """Messages acknowledged = those saved, in their order, and the numbers that are missing in their epoch.

    No number is given out twice: what comes later is of a new epoch, which begins at 1 without a hole.
    """
    damage(crashed)
    async with started(crashed) as spool:
        await store(spool, ["later", "last"])
        *saved, later, last = await numbers_of(spool)

        assert [(spool.epoch, 1), (spool.epoch, 2)] == [later, last]
        assert len({epoch for epoch, _ in saved}) == 1
        assert saved[0][0] < spool.epoch
        sequences = [sequence for _, sequence in saved]
        assert sorted(set(sequences)) == sequences
        assert set(sequences) <= set(ALL)
        assert least <= len(sequences) <= most
        assert len(saved) + 2 == spool.rows_waiting
    assert [path.name for path in crashed.glob("*.damaged-*") if path.suffix.endswith("Z")]


@pytest.mark.parametrize("name", [f"{FILE_NAME}-shm", f"{FILE_NAME}-last"])
async def test_a_file_that_is_not_needed(crashed: Path, name: str) -> None:
    """Without the shared memory, or the last number, all is there, in the same epoch."""
    (crashed / name).unlink()
    async with open_spool(crashed) as spool:
        await store(spool, ["later"])

        assert [(spool.epoch, number) for number in range(1, len(ALL) + 2)] == await numbers_of(spool)
    assert [] == list(crashed.glob("*.damaged-*"))


async def test_a_flipped_bit_in_a_row(crashed: Path) -> None:
    """It is set aside, and its number is the only one that is missing."""
    content = (crashed / FILE_NAME).read_bytes()
    at = content.index(b"user100")
    change(crashed / FILE_NAME, at, b"useR100")
    async with open_spool(crashed) as spool:
        assert [number for number in ALL if number != 100] == [row.sequence for row in await read_all(spool)]
        assert {"damaged": 1} == spool.rows_set_aside


async def test_a_watermark_that_is_not_what_was_stored(crashed: Path) -> None:
    """A flipped bit in it would pass over messages without a word: the checksum of `meta` tells, and all are there."""
    edit(crashed, "UPDATE meta SET watermark = 64")
    async with open_spool(crashed) as spool:
        assert list(ALL) == [sequence for _, sequence in await numbers_of(spool)]


async def test_any_damage(crashed: Path) -> None:
    """Whatever bytes are overwritten, a start ends, and no message comes out that did not go in."""
    async with open_spool(crashed) as spool:
        good = {(m.epoch, m.sequence): m for m in map(decoded, await read_all(spool))}
        await store(spool, ["more"] * 5)
        good |= {(m.epoch, m.sequence): m for m in map(decoded, await read_all(spool))}
        source = shutil.copytree(crashed, crashed.with_name("source"))
    content = (source / FILE_NAME).read_bytes()
    heads = list(rowids(content).values())
    rng = Random(11)  # noqa: S311 - repeatable on purpose
    for run in range(25):
        directory = shutil.copytree(source, crashed.with_name(f"run{run}"))
        for _ in range(rng.randrange(1, 6)):
            file = directory / rng.choice([FILE_NAME, FILE_NAME, f"{FILE_NAME}-wal"])
            size = file.stat().st_size
            change(file, rng.randrange(size), rng.randbytes(rng.choice((1, 8, 300))))
        for _ in range(run % 3):
            # A bit in the head of a cell: the size of a row, or its number.
            at = rng.choice(heads) + rng.randrange(-2, 2)
            change(directory / FILE_NAME, at, bytes([content[at] ^ 1 << rng.randrange(8)]))
        async with started(directory) as spool:
            rows = await read_all(spool)
            found = [decoded(row) for row in rows]
            spool.delivered([row.sequence for row in rows])
            later = await append(spool, *[unnumbered("later")] * 50)
            with suppress(SpoolFault):
                if not spool.failed.done() and 50 != len(await read_all(spool)):
                    async with asyncio.timeout(10):
                        assert 75 == (await spool.failed).code
            assert later == [Outcome.STORED] * 50 or spool.failed.done()

            assert all(message == good[message.epoch, message.sequence] for message in found)
            assert len(found) == len({(message.epoch, message.sequence) for message in found})
        shutil.rmtree(directory)


def rowids(content: bytes) -> dict[int, int]:
    """Where the number of each message is in the database, for numbers of two bytes."""
    found: dict[int, int] = {}
    for page in range(0, len(content), PAGE):
        for cell in range(int.from_bytes(content[page + 3 : page + 5], "big") if content[page] == 0x0D else 0):
            at = page + int.from_bytes(content[page + 8 + 2 * cell : page + 10 + 2 * cell], "big")
            while content[at] & 0x80:
                at += 1
            number, low = content[at + 1 : at + 3]
            if number & 0x80 and not low & 0x80:
                found[(number & 0x7F) << 7 | low] = at + 1
    return found


async def test_a_flipped_bit_in_a_number(crashed: Path, tmp_path: Path) -> None:
    """Whichever it is, what is stored afterwards is delivered, or a new start is asked for."""
    content = (crashed / FILE_NAME).read_bytes()
    at = rowids(content)[164]

    async def with_flipped(mask: int) -> None:
        directory = tmp_path / f"flipped-{mask}"
        shutil.copytree(crashed, directory)
        flipped = int.from_bytes(content[at : at + 2], "big") ^ mask
        change(directory / FILE_NAME, at, flipped.to_bytes(2, "big"))
        async with started(directory) as spool:
            before = await read_all(spool)
            assert len(ALL) - 1 <= len(before), mask
            assert not spool.rows_set_aside, mask
            spool.delivered([row.sequence for row in before])
            await left(spool)
            for _ in range(2):
                await store(spool, ["later"] * 50)
                rows = await read_all(spool)
                assert 50 == len(rows), mask
                spool.delivered([row.sequence for row in rows])
                await left(spool)
            assert not spool.failed.done(), mask

    async with asyncio.TaskGroup() as group:
        # At once, for a delivery is made durable only every second. Bit 7 is the number's length.
        for bit in (bit for bit in range(15) if bit != 7):
            group.create_task(with_flipped(1 << bit))


async def test_a_watermark_never_passes_what_was_stored(tmp_path: Path) -> None:
    """A row above the last number, which the writer meets first, ends the spool; nothing counts as delivered by it."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a", "b", "c"])
    edit(tmp_path, "UPDATE messages SET sequence = 8000 WHERE sequence = 3")
    async with open_spool(tmp_path) as spool:
        spool.delivered([1, 2])
        async with asyncio.timeout(10):
            assert "holds a message 8000" in (await spool.failed).message
    async with open_spool(tmp_path, backend="other") as spool:
        edited = spool._file.meta
        assert edited.watermark <= edited.last_sequence


async def test_what_kafka_took_is_not_taken_over(tmp_path: Path) -> None:
    """Only rows that wait are salvaged; so a kept one does not go out again, nor a row that was set aside."""
    async with open_spool(tmp_path) as spool:
        await store(spool, [f"user{n}" for n in range(50)])
        spool.set_aside([7], "policy_violation")
        spool.delivered([*range(1, 7), *range(8, 11), 12])
        await asyncio.wait_for(spool.resend(2**62), 10)
        spool.delivered([12])
    (tmp_path / f"{FILE_NAME}-broken").touch()
    async with open_spool(tmp_path) as spool:
        assert [11, *range(13, 51)] == [sequence for _, sequence in await numbers_of(spool)]
        assert {"policy_violation": 1} == spool.rows_set_aside
        assert not (tmp_path / f"{FILE_NAME}-broken").exists()


async def test_too_many_held_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more of them than memory is spent on, what was kept is sent again, too: nothing is lost."""
    monkeypatch.setattr(salvage, "_MAX_HELD", 2)
    async with open_spool(tmp_path) as spool:
        await store(spool, [f"user{n}" for n in range(9)])
        # Closing moves the watermark past all, and holds the other five.
        spool.delivered([2, 4, 6, 9])
    (tmp_path / f"{FILE_NAME}-broken").touch()
    async with open_spool(tmp_path) as spool:
        assert list(range(1, 10)) == [sequence for _, sequence in await numbers_of(spool)]


async def test_a_damaged_file_that_was_moved_away(crashed: Path) -> None:
    """The note that it is damaged goes, too: a new spool begins, and is sound at the next start."""
    (crashed / f"{FILE_NAME}-broken").touch()
    for part in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"):
        (crashed / part).unlink()
    for users in (["a"], ["b"]):
        async with open_spool(crashed) as spool:
            await store(spool, users)

    assert [] == [*crashed.glob("*.damaged-*"), *crashed.glob("*-broken")]
    async with open_spool(crashed) as spool:
        assert [(spool.epoch, 1), (spool.epoch, 2)] == await numbers_of(spool)


async def test_salvaged_rows_go_out_under_their_own_numbers(crashed: Path) -> None:
    """The `origin` header of a salvaged row tells its backend, epoch and sequence; keys and values are as ever."""
    zero_the_first_page(crashed)
    async with open_spool(crashed, backend="new-name") as spool:
        await store(spool, ["later"])
        rows = await read_all(spool)
        records = filled(RecordForm(spool.backend, spool.epoch, {}), deque(rows))
        old = decoded(rows[0]).epoch

        assert [f"{BACKEND}/{old}/{number}" for number in ALL] + [f"new-name/{spool.epoch}/1"] == [
            dict(headers)["origin"].decode() for _, _, headers in records
        ]
        assert b"user1" == records[0][0]


async def test_rows_survive_two_salvages(crashed: Path) -> None:
    """The rows of both stand in the order in which they were stored, and are delivered as all others."""
    zero_the_first_page(crashed)
    async with open_spool(crashed) as spool:
        first = spool.epoch
        await store(spool, ["a", "b"])
    (crashed / f"{FILE_NAME}-broken").touch()
    async with open_spool(crashed) as spool:
        await store(spool, ["c"])
        numbers = await numbers_of(spool)

        assert [*ALL, 1, 2, 1] == [sequence for _, sequence in numbers]
        assert [first, first, spool.epoch] == [epoch for epoch, _ in numbers[-3:]]
        spool.delivered([row.sequence for row in await read_all(spool)])
        await left(spool)
        assert (0, len(ALL) + 3) == (spool.rows_waiting, spool.rows_kept)


@pytest.mark.parametrize("step", ["create", "_complete", "finish_salvage", "move_aside"])
async def test_a_salvage_that_is_cut_short(crashed: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Wherever it stops, the next start finishes it, or begins anew; nothing is lost or taken over twice."""
    zero_the_first_page(crashed)

    class PowerLossError(Exception):
        """The process ends here."""

    def stop(*_: object) -> None:
        raise PowerLossError

    with monkeypatch.context() as patched:
        patched.setattr(salvage, step, stop)
        if step == "finish_salvage":
            patched.setattr("lastlogin_producer.spool.opening.salvage", lambda *a: (salvage.salvage(*a), stop()))
        with pytest.raises(PowerLossError):
            async with open_spool(crashed):
                pass
    async with open_spool(crashed) as spool:
        assert list(ALL) == [sequence for _, sequence in await numbers_of(spool)]


async def test_a_salvage_that_takes_too_long(
    crashed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends after a while with what it has, and says so."""
    zero_the_first_page(crashed)
    seconds = count()
    monkeypatch.setattr(salvage, "monotonic", lambda: float(next(seconds)))
    async with open_spool(crashed) as spool:
        assert 0 < spool.rows_waiting < len(ALL)
        await store(spool, ["later"])
    assert "60 s were not enough" in capsys.readouterr().out


def test_the_last_number_is_only_believed_whole(tmp_path: Path) -> None:
    """A note that is torn, or empty, says nothing."""
    note = LastNumber(tmp_path / "spool")
    assert note.read() is None
    note.write(5, 7)
    assert (5, 7) == note.read()
    change(tmp_path / "spool-last", 15, b"\x08")
    assert note.read() is None
    note.close()
