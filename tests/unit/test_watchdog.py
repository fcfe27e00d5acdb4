"""When work is taken to stand still."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lastlogin_consumer.watchdog import Watchdog
from tests.support.bench import Bench
from tests.support.logins import AT_US, login
from tests.support.memory import until


class World:
    """Work and a Kafka that a test makes stand still."""

    def __init__(self) -> None:
        self.standstill_s = 0.0
        self.there = True
        self.asked = 0

    async def answers(self) -> bool:
        """What a probe finds."""
        self.asked += 1
        await asyncio.sleep(0)
        return self.there


@pytest.fixture
async def world() -> World:
    """All is well."""
    return World()


@pytest.fixture
async def watching(world: World) -> AsyncIterator[asyncio.Task[None]]:
    """A watchdog with a limit of 120 s."""
    task = asyncio.create_task(Watchdog(120, lambda: world.standstill_s, world.answers, look_every_s=0).run())
    yield task
    task.cancel()


async def _turns() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def test_work_that_goes_on_is_left_alone(world: World, watching: asyncio.Task[None]) -> None:
    """As long as it stands still for less, Kafka is not even asked."""
    world.standstill_s = 120.0
    await _turns()

    assert not watching.done()
    assert 0 == world.asked


async def test_while_kafka_is_away_nobody_is_stuck(world: World, watching: asyncio.Task[None]) -> None:
    """Work may stand still for ever; with Kafka back, what goes on by itself is left alone."""
    world.standstill_s, world.there = 1_000.0, False
    await until(lambda: world.asked > 3)
    world.there, world.standstill_s = True, 0.0
    await _turns()

    assert not watching.done()


async def test_work_that_stands_still_although_kafka_answers(world: World, watching: asyncio.Task[None]) -> None:
    """It is told after a second look."""
    world.standstill_s = 121.0
    await until(watching.done)

    assert 2 == world.asked


async def test_who_is_caught_up_or_says_why_does_not_stand_still() -> None:
    """Time counts while records are there that are not fetched, and not while they are written: others watch that."""
    bench = Bench(ask_end_every_s=0)
    partition = bench.partition(login("a", AT_US))
    bench.start()
    await until(lambda: partition.watermark == 1)
    [pipeline] = bench.assignment._pipelines.values()
    bench.clock.now += 1_000
    await until(lambda: pipeline.standstill_s < 10)

    bench.table.gate.close()
    partition.append(partition.records[0])
    await until(lambda: bench.table.gate.waiting == 1)
    bench.clock.now += 1_000
    assert 0.0 == bench.assignment.standstill_s
    bench.table.gate.open()
    await until(lambda: partition.watermark == 2)
    assert bench.assignment.standstill_s < 10

    other = bench.partition()
    bench.assignment.assigned([other])
    partition.deaf = True
    partition.append(partition.records[0])
    await until(lambda: bench.assignment.standstill_s > 120)
    assert [0] == bench.assignment.standing_still(120)
    partition.deaf = False
    await until(lambda: bench.assignment.standstill_s < 10)

    await until(lambda: partition.watermark == 3)
    partition.damaged.add(3)
    partition.append(partition.records[0])
    bench.clock.now += 1_000
    await until(lambda: bench.assignment.standstill_s < 10)
    await bench.assignment.abandon()
