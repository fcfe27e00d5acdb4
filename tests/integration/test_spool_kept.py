"""What Kafka has taken: kept, sent again, and gone in time."""

import asyncio
from pathlib import Path

import pytest

from lastlogin_producer.outcome import Outcome
from lastlogin_producer.spool import BEGINNING, NoRoom, Spool, room
from lastlogin_producer.spool.spool import FILE_NAME
from tests.support.spool import append, left, open_spool, read_all, store, unnumbered, users


START_US = 1_795_387_910_000_000
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US


class Clock:
    """A clock that a test sets; microseconds."""

    def __init__(self) -> None:
        self.now_us = START_US

    def __call__(self) -> int:
        return self.now_us


async def deliver(spool: Spool, numbers: list[int] | range) -> None:
    """Tell that Kafka has these rows, and wait until the file knows."""
    spool.delivered(numbers)
    await left(spool)


async def numbers(spool: Spool) -> list[int]:
    """Numbers of the rows that wait."""
    return [row.sequence for row in await read_all(spool)]


async def test_what_kafka_took_is_kept_and_counts_for_nothing(tmp_path: Path) -> None:
    """Delivered rows stay in the file, are not read, and leave the whole quota to those that wait."""
    async with open_spool(tmp_path, max_rows=8) as spool:
        await store(spool, [f"user{n}" for n in range(8)])
        size = spool.bytes_waiting
        await deliver(spool, range(1, 3))

        assert (6, 2) == (spool.rows_waiting, spool.rows_kept)
        assert size == spool.bytes_waiting + spool.bytes_kept
        assert list(range(3, 9)) == await numbers(spool)
        assert [Outcome.STORED, Outcome.STORED, Outcome.FULL] == await append(spool, *map(unnumbered, ("a", "b", "c")))
    async with open_spool(tmp_path, max_rows=8) as spool:
        assert (8, 2) == (spool.rows_waiting, spool.rows_kept)


async def test_a_part_of_the_quota_is_kept(tmp_path: Path) -> None:
    """No more than a quarter of max_rows is kept, and the newest of them."""
    async with open_spool(tmp_path, max_rows=400) as spool:
        await store(spool, [f"user{n}" for n in range(300)])
        await deliver(spool, range(1, 301))

        assert 100 == spool.rows_kept
        assert 100 == await spool.resend(0)
        assert list(range(201, 301)) == await numbers(spool)


async def test_a_part_of_the_bytes_is_kept(tmp_path: Path) -> None:
    """No more than a quarter of max_bytes is kept, give or take a row."""
    async with open_spool(tmp_path, max_bytes=40_000) as spool:
        await store(spool, [f"user{n}" for n in range(200)])
        await deliver(spool, range(1, 201))

        assert 9_900 < spool.bytes_kept <= 10_100


async def test_nothing_is_kept(tmp_path: Path) -> None:
    """With keep_hours = 0 what Kafka took leaves the file."""
    async with open_spool(tmp_path, keep_hours=0) as spool:
        await store(spool, ["a", "b"])
        await deliver(spool, [1])

        assert (1, 0, 0) == (spool.rows_waiting, spool.rows_kept, spool.bytes_kept)
        assert 0 == await spool.resend(0)


async def test_old_rows_leave(tmp_path: Path) -> None:
    """After keep_hours kept rows leave, those that wait do not, and neither do younger ones."""
    clock = Clock()
    async with open_spool(tmp_path, keep_hours=1, now_us=clock) as spool:
        await store(spool, ["a", "b", "c"])
        await deliver(spool, [1, 2])
        clock.now_us += HOUR_US // 2
        await store(spool, ["d"])
        clock.now_us += HOUR_US // 2 + MINUTE_US
        await store(spool, ["e"])
        assert (3, 0) == (spool.rows_waiting, spool.rows_kept)
        await deliver(spool, [3, 4])
        assert (1, 1) == (spool.rows_waiting, spool.rows_kept)
        await store(spool, ["f"])

        assert (2, 1) == (spool.rows_waiting, spool.rows_kept)
        assert 1 == await spool.resend(0)
        assert [4, 5, 6] == await numbers(spool)


async def test_a_clock_that_was_behind_for_a_login(tmp_path: Path) -> None:
    """That login does not make what was kept before it old; all leave in their time, and the oldest when too many."""
    clock = Clock()
    async with open_spool(tmp_path, keep_hours=1, max_rows=40, now_us=clock) as spool:
        await store(spool, ["a", "b", "c"])
        await deliver(spool, [1, 2, 3])
        clock.now_us = HOUR_US
        await store(spool, ["d"])
        clock.now_us = START_US + MINUTE_US
        await store(spool, ["e"])
        await deliver(spool, [4, 5])
        assert 5 == spool.rows_kept
        await store(spool, [f"user{n}" for n in range(6)])
        await deliver(spool, range(6, 12))

        assert 10 == spool.rows_kept
        clock.now_us += HOUR_US + 2 * MINUTE_US
        await store(spool, ["f"])
        assert 0 == spool.rows_kept


async def test_kept_rows_leave_before_a_login_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk kept rows make room; only without any are logins refused."""
    async with open_spool(tmp_path) as spool:
        await store(spool, [f"user{n}" for n in range(30_000)])
        await deliver(spool, range(1, 30_001))
        assert 30_000 == spool.rows_kept
        pages: list[int] = []

        def is_there(connection: object, directory: Path) -> bool:
            pages.append(connection.execute("PRAGMA freelist_count").fetchone()[0])  # type: ignore[attr-defined]
            return pages[-1] > 100

        monkeypatch.setattr(room, "is_there", is_there)
        await store(spool, ["a"])

        assert 0 < spool.rows_kept < 30_000
        monkeypatch.setattr(room, "is_there", lambda *_: False)
        assert [Outcome.FULL] == await append(spool, unnumbered("b"))
        assert 0 == spool.rows_kept


async def test_resend(tmp_path: Path) -> None:
    """What was stored since a time waits again, in order, and readers are told once to go back; older rows are not."""
    clock = Clock()
    async with open_spool(tmp_path, now_us=clock) as spool:
        for first in range(0, 40, 10):
            await store(spool, [f"user{n}" for n in range(first, first + 10)])
            clock.now_us += 10 * MINUTE_US
        await deliver(spool, range(1, 36))
        spool.delivered(range(37, 40))
        spool.arrived.clear()

        assert not spool.rewound()
        assert 18 == await spool.resend(START_US + 20 * MINUTE_US)
        assert spool.arrived.is_set()
        assert [True, False] == [spool.rewound(), spool.rewound()]
        assert list(range(21, 41)) == await numbers(spool)
        assert (20, 20, 18) == (spool.rows_waiting, spool.rows_kept, spool.rows_resent)
    async with open_spool(tmp_path, now_us=clock) as spool:
        assert list(range(21, 41)) == await numbers(spool)
        await deliver(spool, range(21, 41))
        assert (0, 40) == (spool.rows_waiting, spool.rows_kept)


async def test_a_long_resend_lets_logins_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are made to wait again in pieces, and logins are stored between them."""
    monkeypatch.setattr("lastlogin_producer.spool.file._WAIT_AGAIN_ROWS", 10)
    async with open_spool(tmp_path) as spool:
        await store(spool, [f"user{n}" for n in range(2_000)])
        await deliver(spool, range(1, 2_001))
        resending = asyncio.create_task(spool.resend(0))
        await store(spool, ["a"])

        assert not resending.done()
        assert 2_000 == await resending
        assert list(range(1, 2_002)) == await numbers(spool)


async def test_a_resend_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """When they and what waits would be more than may wait, nothing happens, in words."""
    async with open_spool(tmp_path, max_rows=100) as spool:
        await store(spool, [f"user{n}" for n in range(100)])
        await deliver(spool, range(1, 26))
        await store(spool, [f"user{n}" for n in range(24)])

        with pytest.raises(NoRoom, match=r"25 messages were kept .* 99 wait"):
            await spool.resend(0)
        assert (99, 25) == (spool.rows_waiting, spool.rows_kept)


async def test_a_partition_that_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that wait behind many delivered ones are read first, also after a crash, and leave as all others do."""
    monkeypatch.setattr("lastlogin_producer.spool.file.MAX_ABOVE", 50)
    async with open_spool(tmp_path / "live") as spool:
        await store(spool, [f"user{n}" for n in range(900)])
        behind = list(range(1, 901, 3))
        spool.delivered([number for number in range(1, 901) if number not in behind])
        async with asyncio.timeout(10):
            while spool.rows_leaving > 50:
                spool.arrived.clear()
                await spool.arrived.wait()

        assert behind == await numbers(spool)
        assert len(behind) == spool.rows_waiting
        (tmp_path / "crash").mkdir(mode=0o700)
        for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-last"):
            (tmp_path / "crash" / name).write_bytes((tmp_path / "live" / name).read_bytes())
        async with open_spool(tmp_path / "crash") as crashed:
            again = await numbers(crashed)
            assert set(behind) <= set(again)
            assert len(again) <= len(behind) + 50
        await deliver(spool, behind)
        assert (0, 900) == (spool.rows_waiting, spool.rows_kept)


async def test_rows_that_are_refused_for_good_are_set_aside(tmp_path: Path) -> None:
    """They wait no longer, are counted by reason, also after a restart, and hold up nobody."""
    async with open_spool(tmp_path) as spool:
        await store(spool, ["a", "b", "c", "d"])
        spool.set_aside([2], "policy_violation")
        spool.set_aside([3], "too_large")
        await deliver(spool, [1])

        assert [(4, "d")] == await users(spool)
        assert (1, 1) == (spool.rows_waiting, spool.rows_kept)
    async with open_spool(tmp_path) as spool:
        assert [(4, "d")] == await users(spool)
        assert ({"policy_violation": 1, "too_large": 1}, 1) == (spool.rows_set_aside, spool.rows_waiting)
        await deliver(spool, [4])
        assert (0, 2) == (spool.rows_waiting, spool.rows_kept)


async def test_the_wal_stays_small_while_rows_come_and_go(tmp_path: Path) -> None:
    """Storing, delivering, keeping and evicting at once never grow the WAL beyond a few MiB, nor the file."""
    wal = tmp_path / f"{FILE_NAME}-wal"
    largest = 0
    async with open_spool(tmp_path, max_rows=20_000) as spool:
        for first in range(0, 60_000, 2_000):
            await store(spool, [f"user{n}" for n in range(2_000)])
            spool.delivered(range(first + 1, first + 2_001))
            await spool.read(BEGINNING)
            largest = max(largest, wal.stat().st_size)
        await left(spool)

        assert spool.rows_kept <= 5_000
    assert largest < 6 * 2**20
    assert (tmp_path / FILE_NAME).stat().st_size < 8 * 2**20
