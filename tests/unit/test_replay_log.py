"""Stretches of partitions in memory, through the consumer's own pipelines."""

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from lastlogin_consumer.decode import Record
from lastlogin_consumer.errors import FetchFailed
from lastlogin_consumer.metrics import Totals
from lastlogin_consumer.replay.stretch_log import Log, StretchLog
from lastlogin_consumer.replay.stretches import Stretch
from lastlogin_consumer.replay.writing import LeftOut, write_all
from lastlogin_service.exits import TEMPFAIL, Exit
from lastlogin_service.places import Place
from tests.support.bench import Bench
from tests.support.logins import AT_US, login
from tests.support.memory import MemoryPartition, until


@pytest.fixture(autouse=True)
def no_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for others to be merged with."""
    monkeypatch.setattr("lastlogin_consumer.replay.writing._LINGER_S", 0.0)


@pytest.fixture
async def bench() -> Bench:
    """A table and a clock; the pipelines are the replay's."""
    return Bench()


async def _before_any() -> int:
    return -1


def _log(bench: Bench, log: Log, first: int, end: int, partition: int = 0) -> StretchLog:
    return StretchLog(Stretch(partition, first, end), log, _before_any, bench.clock)


def _ten(bench: Bench) -> MemoryPartition:
    return bench.partition(*(login(f"user{n}", AT_US + n) for n in range(10)))


async def test_only_the_stretch_is_written(bench: Bench) -> None:
    """From its first to its last offset, whatever else the partition has; then it ends, with nothing left."""
    logs = [_log(bench, _ten(bench), 2, 5), _log(bench, _ten(bench), 9, 10, partition=1)]
    advanced: list[int] = []
    for log in logs:
        log.advanced = advanced.append
    await write_all(logs, bench.stages(LeftOut()))

    assert {"user2", "user3", "user4", "user9"} == {f"user{n}" for n in range(10) if bench.table.row(f"user{n}")}
    assert [(Stretch(0, 2, 5), 0), (Stretch(1, 9, 10), 0)] == [(log.written, log.left.offsets) for log in logs]
    assert 4 == sum(advanced)
    assert Totals(fetched=4, written=4) == bench.totals


async def test_records_of_no_use_are_left_out(bench: Bench) -> None:
    """They are counted by reason and told as left out; where Cassandra refuses a row, the place is kept."""
    partition = bench.partition(b"no event", login("refused"), login("sound"), None)
    bench.table.refused.add("refused")
    left_out = LeftOut()
    with capture_logs() as said:
        await write_all([_log(bench, partition, 0, 4)], bench.stages(left_out))

    assert {"unknown_framing": 1, "null_value": 1, "refused": 1} == bench.totals.set_aside
    assert [Place(0, 1)] == left_out.refused
    assert all("was left out" in line["event"] for line in said)
    assert bench.table.row("sound")
    assert [] == bench.dead_letters.letters


async def test_it_ends_before_what_is_damaged(bench: Bench) -> None:
    """All before it is written, the offset is told, and it goes on behind it; also where it comes first."""
    partition = _ten(bench)
    partition.damaged = {4}
    log, first = _log(bench, partition, 0, 10), _log(bench, partition, 4, 10)
    await write_all([log], bench.stages(LeftOut()))
    await write_all([first], bench.stages(LeftOut()))

    assert (4, False) == (log.unreadable, log.withheld)
    assert (Stretch(0, 0, 4), Stretch(0, 4, 10)) == (log.written, log.left)
    assert (4, 0, Stretch(0, 4, 10)) == (first.unreadable, first.written.offsets, first.left)
    assert [Stretch(0, 5, 10)] * 2 == [log.next, first.next]
    assert bench.table.row("user3")


async def test_what_kafka_withholds_is_not_waited_for(bench: Bench) -> None:
    """When it answers, and gives nothing for ten seconds of waiting."""
    partition = _ten(bench)
    partition.deaf = True
    log = _log(bench, partition, 3, 10)
    await write_all([log], bench.stages(LeftOut()))

    assert (3, True) == (log.unreadable, log.withheld)
    assert 10 <= bench.clock.now < 12


class _Away(MemoryPartition):
    """Gives nothing and answers nothing, until it is back."""

    async def end(self) -> int:
        if self.deaf:
            raise FetchFailed("away")
        return await super().end()


async def test_kafka_is_waited_for_while_it_is_away(bench: Bench) -> None:
    """However long it does not answer, nothing is given up, and it goes on when it is back."""
    partition = _Away(bench.clock)
    partition.records = _ten(bench).records
    partition.deaf = True
    log = _log(bench, partition, 0, 10)
    work = asyncio.create_task(write_all([log], bench.stages(LeftOut())))
    await until(lambda: bench.clock.now > 1000)
    assert (None, 0) == (log.unreadable, log.written.offsets)
    partition.deaf = False
    await work

    assert Stretch(0, 0, 10) == log.written


async def test_records_deleted_meanwhile_are_told(bench: Bench) -> None:
    """Which offsets they had; the rest is written. When all were, nothing is."""
    partition = _ten(bench)
    partition.first = 4
    log, gone = _log(bench, partition, 2, 6), _log(bench, partition, 1, 3)
    await write_all([log, gone], bench.stages(LeftOut()))

    assert [Stretch(0, 2, 4)] == log.lost
    assert [Stretch(0, 1, 3)] == gone.lost
    assert not log.left.offsets
    assert {"user4", "user5"} == {f"user{n}" for n in range(10) if bench.table.row(f"user{n}")}


async def test_another_topic_of_that_name(bench: Bench) -> None:
    """When the partition ends before the stretch does, it is not the one that was looked at: exit code 75."""
    log = _log(bench, _ten(bench), 12, 15)

    with pytest.raises(Exit, match="partition 0 was truncated or made anew; look again") as end:
        await write_all([log], bench.stages(LeftOut()))
    assert TEMPFAIL == end.value.code


class _Holes:
    """Ends with offsets that have no records, as those of a transaction's end."""

    def __init__(self, log: MemoryPartition, behind: int) -> None:
        self._log = log
        self._behind = behind
        self.reached = 0

    async def fetch(self, position: int, limit: int, wait_s: float) -> Sequence[Record]:
        if position >= 3:
            self.reached = self._behind
            return ()
        return await self._log.fetch(position, min(limit, 3 - position), wait_s)

    async def end(self) -> int:
        return self._behind

    async def position(self) -> int:
        return self.reached


async def test_last_offsets_without_records(bench: Bench) -> None:
    """It ends behind the last record that there is, without waiting for one."""
    holes = _Holes(_ten(bench), 10)
    log = StretchLog(Stretch(0, 0, 10), holes, holes.position, bench.clock)
    await write_all([log], bench.stages(LeftOut()))

    assert (None, 10) == (log.unreadable, log.written.offsets)
    assert 3 == bench.totals.written
    assert bench.clock.now < 1
