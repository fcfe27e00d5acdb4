"""A partition of which Kafka gives nothing although it answers, and others that look like one."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from lastlogin_consumer.compact import WindowLimits
from lastlogin_consumer.decode import Record
from lastlogin_consumer.errors import FetchFailed
from lastlogin_consumer.lag import Lag
from tests.support.bench import Bench
from tests.support.logins import event_record, login
from tests.support.memory import MemoryPartition, until


@pytest.fixture
def linger_s() -> float:
    """How long a login waits for a newer one."""
    return 0.2


@pytest.fixture
async def bench(linger_s: float) -> AsyncIterator[Bench]:
    """A bench that asks for the end all the time, and whose pipelines end with the test."""
    bench = Bench(WindowLimits(linger_s, max_records=1000, max_bytes=1_000_000), ask_end_every_s=0)
    yield bench
    await bench.assignment.abandon()
    bench.assignment.failed.cancel()


async def test_what_kafka_withholds_is_told_with_the_way_out(bench: Bench) -> None:
    """Kafka answers and gives nothing: the line says where and what to do, and the watchdog goes on counting."""
    partition = bench.partition(login("a"), login("b"))
    partition.committed = 1
    partition.deaf = True
    with capture_logs() as said:
        bench.start()
        await until(lambda: bench.assignment.standstill_s > 120)

    assert {"partition_held"} == {line["action"] for line in said}
    assert (0, 1) == (said[0]["partition"], said[0]["position"])
    assert "gives nothing at offset 1; " in said[0]["why"]
    assert "`lastlogin-consumer skip --topic events --partition 0 --to 2`" in said[0]["why"]
    assert bench.assignment.progress()[0].held
    partition.deaf = False
    await until(lambda: partition.watermark == 2)
    assert not bench.assignment.progress()[0].held


@pytest.mark.parametrize("linger_s", [300.0])
async def test_a_window_that_lingers_is_not_held(bench: Bench) -> None:
    """Records that wait for newer ones have been given."""

    class Patient(MemoryPartition):
        async def fetch(self, position: int, limit: int, wait_s: float) -> Sequence[Record]:
            return await super().fetch(position, limit, min(wait_s, 1.0))

    partition = Patient(bench.clock)
    partition.append(event_record(login("a")))
    bench.partitions.append(partition)
    with capture_logs() as said:
        bench.start()
        await until(lambda: partition.watermark == 1)

    assert [] == said


async def test_behind_an_outage_of_kafka_nothing_is_held(bench: Bench) -> None:
    """What came meanwhile has its time from when Kafka answers again: it may not be there with the first answer."""

    class Away(MemoryPartition):
        async def end(self) -> int:
            if self.away:
                raise FetchFailed("away")
            return await super().end()

        away = False

    partition = Away(bench.clock)
    bench.partitions.append(partition)
    with capture_logs() as said:
        bench.start()
        await until(lambda: bench.lags() == {0: Lag(0, 0.0)})
        partition.away = partition.deaf = True
        partition.append(event_record(login("a")))
        await until(lambda: bench.assignment.standstill_s > 100)
        partition.away = False
        await until(lambda: bench.lags() == {0: Lag(1, 0.0)})
        assert not bench.assignment.progress()[0].held
        partition.deaf = False
        await until(lambda: partition.watermark == 1)

    assert [] == said


async def test_who_waits_for_the_group_is_not_held(bench: Bench) -> None:
    """As long as it is not known where to begin nothing has been asked for."""

    class Waiting(MemoryPartition):
        asked = 0

        async def start(self) -> NoReturn:
            self._clock.now += 1000
            await asyncio.Event().wait()
            raise AssertionError

        async def end(self) -> int:
            self.asked += 1
            return 5

    partition = Waiting(bench.clock)
    bench.partitions.append(partition)
    with capture_logs() as said:
        bench.start()
        await until(lambda: partition.asked == 10)

    assert [] == said
