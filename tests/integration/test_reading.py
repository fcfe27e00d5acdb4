"""Rows from the spool into lanes, without Kafka."""

import asyncio
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from lastlogin_producer import reading
from lastlogin_producer.lane import Lane
from lastlogin_producer.reading import Reading
from lastlogin_producer.spool import Kind
from lastlogin_producer.spool.layout import connect
from lastlogin_producer.spool.spool import FILE_NAME
from lastlogin_service.tasks import cancel
from tests.support.spool import open_spool, store


async def test_catching_up_waits_for_a_disk_that_refuses_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While too much of what Kafka took is unknown to the file, nothing more is read, also for a lane behind."""
    monkeypatch.setattr(reading, "_MAX_LEAVING", 10)
    async with open_spool(tmp_path) as spool, asyncio.timeout(20):
        await store(spool, [f"user{n}" for n in range(30)])
        lane = Lane("events", 0, Random(1), max_rows=100, max_bytes=2**20)  # noqa: S311 - repeatable on purpose
        taken = asyncio.Event()
        rows = Reading(spool, {Kind.LOGIN_EVENT: [lane]}, lambda _: taken.set())
        tasks = [asyncio.create_task(rows.at_the_tail(lambda: None)), asyncio.create_task(rows.catch_up())]
        await taken.wait()
        taken.clear()
        lane.let_go(1)
        lane.active = False
        with closing(connect(tmp_path / FILE_NAME, "mode=rw")) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            spool.delivered(range(1, 11))
            lane.closed = False
            rows.changed()
            await asyncio.sleep(0.3)

            assert not taken.is_set()
        await taken.wait()
        assert list(range(11, 31)) == [row.sequence for row in lane.rows]
        await cancel(tasks)
