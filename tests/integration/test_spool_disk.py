"""The spool on disks that lose power, fail to sync, or are full: small and real ones."""

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from lastlogin_producer.outcome import Outcome
from lastlogin_producer.spool import Spool
from lastlogin_producer.spool.salvage import mark_broken
from lastlogin_producer.spool.spool import FILE_NAME
from lastlogin_service.exits import Exit
from tests.support.disk import Disk, journal, preloaded
from tests.support.spool import append, left, open_spool, read_all, store, unnumbered, users


BIG = unnumbered(attributes={"padding": "x" * 10_000})
SMALL_DISK = 8 * 2**20
DAMAGED_ROWS = 30_000

# Stores logins that other ones deliver, until its standard input ends; tells the number of each stored one.
STORE = """
import asyncio, os, sys
from pathlib import Path
from lastlogin_producer.outcome import Outcome
from lastlogin_producer.spool import Spool
from tests.support.spool import append, open_spool, unnumbered

async def main():
    async with open_spool(Path(sys.argv[1]), max_rows=400) as spool:
        number = 0
        for group in range(int(sys.argv[2])):
            users = [f"user{number + n}" for n in range(1 + group % 7)]
            number += len(users)
            outcomes = await append(spool, *map(unnumbered, users))
            os.write(1, "".join(f"{o.name} {u}\\n" for o, u in zip(outcomes, users)).encode())
            rows = await spool.read(0)
            spool.delivered([row.sequence for row in rows if row.sequence % 3 == group % 3])
            if spool.failed.done():
                sys.exit(spool.failed.result().code)

asyncio.run(main())
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    with mounted(tmp_path / "disk", SMALL_DISK) as disk:
        yield disk


@contextmanager
def mounted(disk: Path, size: int) -> Iterator[Path]:
    """A file system of that many bytes."""
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def resize(disk: Path, size: int) -> None:
    """Make it larger or smaller."""
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


@pytest.mark.alone
async def test_a_small_disk_fills_and_empties(small_disk: Path) -> None:
    """Groups that do not fit are refused within 50 ms, all that was stored is there, and there is room after a drain.

    Kept rows make room first; a restart on the full disk finds everything.
    """
    async with open_spool(small_disk) as spool:
        stored = await fill(spool)
        assert stored > 200
        assert stored == len(await read_all(spool))
    async with open_spool(small_disk) as spool:
        stored += await fill(spool)
        assert list(range(1, stored + 1)) == [row.sequence for row in await read_all(spool)]
        spool.delivered(range(1, stored + 1))
        await left(spool)
        assert stored == spool.rows_kept

        assert [Outcome.STORED] * 20 == await append(spool, *[BIG] * 20)
        assert spool.rows_kept < stored


async def fill(spool: Spool) -> int:
    """Store until the disk is full; return how many were stored. The last answer comes at once."""
    stored = 0
    while True:
        begun = time.monotonic()
        outcomes = await append(spool, *[BIG] * 20)
        took = time.monotonic() - begun
        stored += outcomes.count(Outcome.STORED)
        assert {Outcome.STORED, Outcome.FULL} >= set(outcomes)
        if Outcome.FULL in outcomes:
            assert took < 0.05
            return stored


async def test_a_disk_that_is_full_in_the_middle_of_a_group(small_disk: Path) -> None:
    """A group larger than what is left is refused as a whole, and takes no number; the spool goes on."""
    huge = unnumbered(attributes={"padding": "x" * 200_000})
    async with open_spool(small_disk) as spool:
        await store(spool, ["a"])
        size = (small_disk / "spool.sqlite").stat().st_size

        assert [Outcome.FULL] * 60 == await append(spool, *[huge] * 60)
        await store(spool, ["b"])
        assert [(1, "a"), (2, "b")] == await users(spool)
        assert not spool.failed.done()
    assert size + 2**20 > (small_disk / "spool.sqlite").stat().st_size
    async with open_spool(small_disk) as spool:
        assert [(1, "a"), (2, "b")] == await users(spool)


@pytest.fixture
async def damaged(tmp_path: Path) -> AsyncIterator[Path]:
    """A file system of 64 MiB, on which 9 MiB are a damaged spool of 30,000 messages."""
    with mounted(tmp_path / "disk", 64 * 2**20) as disk:
        async with open_spool(disk) as spool:
            for first in range(0, DAMAGED_ROWS, 5_000):
                messages = [unnumbered(f"user{first + n}", attributes={"padding": "x" * 220}) for n in range(5_000)]
                await append(spool, *messages)
        mark_broken(disk / FILE_NAME)
        yield disk


@pytest.mark.parametrize("mebibytes", [10, 13, 18])
async def test_a_damaged_spool_without_room_for_another(damaged: Path, mebibytes: int) -> None:
    """The start ends with 75 and leaves the file as it is, and no other; with more room the next one saves all."""
    content = (damaged / FILE_NAME).read_bytes()
    resize(damaged, mebibytes * 2**20)
    with pytest.raises(Exit, match="no room beside it") as ended:
        async with open_spool(damaged):
            pass

    assert 75 == ended.value.code
    assert content == (damaged / FILE_NAME).read_bytes()
    assert [] == [*damaged.glob(f"{FILE_NAME}-new*"), *damaged.glob(f"{FILE_NAME}.damaged-*")]
    resize(damaged, 64 * 2**20)
    async with open_spool(damaged) as spool:
        assert DAMAGED_ROWS == spool.rows_waiting == len(await read_all(spool))


async def test_a_damaged_spool_on_a_disk_that_has_just_room(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside it there must be room for what it holds, and no more: all that is reported as saved is there."""
    resize(damaged, 20 * 2**20)
    async with open_spool(damaged) as spool:
        assert DAMAGED_ROWS == spool.rows_waiting == len(await read_all(spool))
    assert f"with {DAMAGED_ROWS} messages that could be read" in capsys.readouterr().out


async def test_a_power_loss_at_any_moment(tmp_path: Path) -> None:
    """Without every byte that was not synced, and every name in a directory that was not, acknowledged ones are there.

    Also when a part of the unsynced bytes had made it to the disk.
    """
    live = tmp_path / "live"
    live.mkdir(mode=0o700)
    environment = preloaded(tmp_path, live) | {"DISK_JOURNAL": str(tmp_path / "journal")}
    run_store([str(live), "60"], environment)
    events = [event for event in journal(tmp_path / "journal") if not event.path.endswith("-shm")]
    rng = Random(3)  # noqa: S311 - repeatable on purpose
    moments = sorted(rng.sample(range(len(events)), 30))
    disk, acknowledged = Disk(), set[str]()
    for number, event in enumerate(events):
        if event.kind == "A":
            acknowledged |= {line.split()[1] for line in event.data.decode().splitlines() if line.startswith("STORED")}
            continue
        disk.apply(event)
        if number not in moments:
            continue
        torn = {
            path: torn_content(rng, disk.durable[path], bytes(content))
            for path, content in disk.files.items()
            if path in disk.durable and path in disk.named and number % 2
        }
        crashed = tmp_path / f"crashed{number}"
        disk.left(crashed, torn)
        async with open_spool(crashed, max_rows=400) as spool:
            found = {user for _, user in await users(spool)}
            waited = spool.rows_waiting
            assert waited == len(found)
            await spool.resend(0)
            found |= {user for _, user in await users(spool)}
        assert acknowledged <= found | evicted(found), number
        shutil.rmtree(crashed)
    assert len(acknowledged) > 200


def evicted(found: set[object]) -> set[str]:
    """Users below the first one that is found: what Kafka took and is kept no longer."""
    first = min((int(str(user).removeprefix("user")) for user in found), default=0)
    return {f"user{number}" for number in range(first)}


def torn_content(rng: Random, durable: bytes, newest: bytes) -> bytes:
    """Of the sectors that were not synced, some are new, some old."""
    size = rng.choice((len(durable), len(newest)))
    mixed = bytearray(durable[:size].ljust(size, b"\0"))
    for at in range(0, size, 512):
        if rng.random() < 0.5:
            mixed[at : at + 512] = newest[at : at + 512].ljust(min(512, size - at), b"\0")
    return bytes(mixed)


def run_store(arguments: list[str], environment: dict[str, str]) -> None:
    """Run it to its end."""
    subprocess.run([sys.executable, "-c", STORE, *arguments], env=environment, check=True, capture_output=True)


async def test_a_sync_that_fails(tmp_path: Path) -> None:
    """The group is unconfirmed, never stored; the process goes on or ends with 75; what was stored before is there."""
    stored = await asyncio.to_thread(store_until_no_sync_works, tmp_path)
    async with open_spool(tmp_path / "live", max_rows=400) as spool:
        await spool.resend(0)
        found = {user for _, user in await users(spool)}
        assert stored <= found | evicted(found)


def store_until_no_sync_works(tmp_path: Path) -> set[str]:
    """Run it on a disk that fails after 100 logins; return who was told to be stored."""
    live, failing = tmp_path / "live", tmp_path / "failing"
    environment = preloaded(tmp_path, live) | {"DISK_FAIL_SYNC": str(failing)}
    command = [sys.executable, "-c", STORE, str(live), "1000000"]
    stored: set[str] = set()
    unconfirmed = 0
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            outcome, _, user = line.strip().partition(" ")
            if outcome == "STORED":
                assert not unconfirmed
                stored.add(user)
            unconfirmed += outcome == "UNCONFIRMED"
            if len(stored) >= 100:
                failing.touch()
        assert 75 == process.wait(10)
    assert unconfirmed > 0
    return stored
