"""What the pipelines say about how far behind they are."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from lastlogin_consumer.errors import FetchFailed
from lastlogin_consumer.lag import Lag, Progress
from tests.support.bench import Bench
from tests.support.logins import AT_US, event_record, login
from tests.support.memory import MemoryPartition, Record, until


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A bench whose pipelines ask for the end all the time."""
    bench = Bench(ask_end_every_s=0)
    yield bench
    await bench.assignment.abandon()
    bench.assignment.failed.cancel()


async def test_an_empty_partition_is_caught_up(bench: Bench) -> None:
    """Nothing was ever published: unknown until Kafka has answered, then 0 and 0."""
    bench.partition()
    assert {} == bench.lags()
    bench.start()
    assert {0: None} == bench.lags()
    await until(lambda: bench.lags() == {0: Lag(0, 0.0)})


async def test_an_outage_of_the_table_grows(bench: Bench) -> None:
    """What is in the window, what is published meanwhile and the age of the oldest count; then 0 again."""
    partition = bench.partition(login("a"), login("b"))
    bench.table.gate.close()
    bench.start()
    await until(lambda: bench.table.gate.waiting == 1)
    bench.time += 90
    assert {0: Lag(2, 90.0)} == bench.lags()

    partition.append(event_record(login("c"), appended_ms=AT_US // 1000 + 80_000))
    await until(lambda: bench.lags() == {0: Lag(3, 90.0)})
    bench.table.gate.open()
    await until(lambda: bench.lags() == {0: Lag(0, 0.0)})
    assert 3 == bench.totals.written


async def test_poison_that_is_not_set_aside_is_behind(bench: Bench) -> None:
    """A record that waits for the dead-letter topic is not done, nor is what was fetched with it."""
    bench.partition(b"not an event", login("a"))
    bench.dead_letters.gate.close()
    bench.start()
    await until(lambda: bench.dead_letters.gate.waiting == 1)
    bench.time += 10

    assert {0: Lag(2, 10.0)} == bench.lags()
    assert 0 == bench.totals.set_aside.total()


async def test_a_partition_that_cannot_be_read_is_behind(bench: Bench) -> None:
    """All from the damaged record on counts, and its age goes on from the record before it."""
    partition = bench.partition(*(login(f"user{n}") for n in range(10)))
    partition.damaged = {7}
    bench.start()
    await until(lambda: partition.watermark == 7)
    bench.time += 3600

    assert {0: Lag(3, 3600.0)} == bench.lags()


async def test_a_partition_held_from_the_start_is_behind_since_it_was_seen(bench: Bench) -> None:
    """Nothing could be fetched, so that no append time is known."""
    partition = bench.partition(login("a"), login("b"))
    partition.refuses = 10**9
    bench.start()
    await until(lambda: bench.lags() == {0: Lag(2, 0.0)})
    bench.time += 30

    assert {0: Lag(2, 30.0)} == bench.lags()


async def test_lost_records_are_counted_and_not_behind(bench: Bench) -> None:
    """All that was left is gone: it is lost, no longer behind, and its offset passes though nothing follows."""
    partition = bench.partition(*(login(f"user{n}") for n in range(5)))
    partition.first, partition.committed = 5, 1
    bench.start()
    await until(lambda: partition.watermark == 5)

    assert 4 == bench.totals.lost
    assert {0: Lag(0, 0.0)} == bench.lags()


async def test_a_loss_behind_an_open_window_waits_for_it(bench: Bench) -> None:
    """Records that wait are not passed by the loss of later ones."""

    class Trimmed(MemoryPartition):
        async def fetch(self, position: int, limit: int, wait_s: float) -> Sequence[Record]:
            if position == 2:
                self.first = 9
            return await super().fetch(position, 2, wait_s)

    partition = Trimmed(bench.clock)
    for n in range(9):
        partition.append(event_record(login(f"user{n}")))
    bench.partitions.append(partition)
    bench.table.gate.close()
    bench.start()
    await until(lambda: bench.totals.lost == 7 and bench.table.gate.waiting == 1)

    assert None is partition.watermark
    bench.table.gate.open()
    await until(lambda: partition.watermark == 9)


async def test_revoked_partitions_are_told_no_more(bench: Bench) -> None:
    """With its pipeline a partition leaves."""
    bench.partition()
    bench.partition()
    bench.start()
    await until(lambda: set(bench.lags()) == {0, 1})
    await bench.assignment.revoked()

    assert {} == bench.lags()


async def test_while_kafka_does_not_answer_the_last_value_stays(bench: Bench) -> None:
    """A failed question changes no lag and ends nothing; it is told when no partition gets an answer."""

    class Deaf(MemoryPartition):
        deaf = False

        async def end(self) -> int:
            if self.deaf:
                raise FetchFailed("away")
            return await super().end()

    held = [Deaf(bench.clock, number) for number in range(2)]
    for partition in held:
        partition.append(event_record(login("a")))
        partition.refuses = 10**9
        bench.partitions.append(partition)
    assert None is bench.assignment.problem
    bench.start()
    known = {0: Lag(1, 0.0), 1: Lag(1, 0.0)}
    await until(lambda: bench.lags() == known)
    held[0].deaf = True
    for _ in range(50):
        await asyncio.sleep(0)
    assert None is bench.assignment.problem
    held[1].deaf = True
    await until(lambda: bench.assignment.problem is not None)

    assert known == bench.lags()
    held[0].deaf = False
    await until(lambda: bench.assignment.problem is None)


async def test_a_partition_is_held_until_it_goes_on(bench: Bench) -> None:
    """At a damaged record, and no longer when that can be read, or retention has taken it."""
    partition = bench.partition(*(login(f"user{n}") for n in range(6)))
    partition.damaged = {2, 4}
    bench.start()
    await until(lambda: partition.watermark == 2 and bench.assignment.progress()[0].held)
    assert 2 == bench.assignment.progress()[0].watermark
    partition.damaged = {4}
    await until(lambda: partition.watermark == 4 and bench.assignment.progress()[0].held)
    partition.first = 6
    await until(lambda: bench.assignment.progress() == {0: Progress(Lag(0, 0.0), 6, held=False)})


async def test_a_start_that_is_refused_holds_the_partition(bench: Bench) -> None:
    """Where to begin is not known, so that nothing but this can be told; it ends with the start."""

    class Refusing(MemoryPartition):
        refusing = True

        async def start(self) -> int:
            if self.refusing:
                await asyncio.sleep(0)
                raise FetchFailed("no right")
            return await super().start()

    partition = Refusing(bench.clock)
    bench.partitions.append(partition)
    bench.start()
    await until(lambda: bench.assignment.progress() == {0: Progress(None, None, held=True)})
    partition.refusing = False
    await until(lambda: bench.assignment.progress() == {0: Progress(Lag(0, 0.0), 0, held=False)})


async def test_a_failure_that_passes_holds_nothing(bench: Bench) -> None:
    """Who has read all there is does not wait at a record."""
    partition = bench.partition()
    partition.refuses = 1
    bench.start()
    await until(lambda: not partition.refuses)
    await until(lambda: bench.assignment.progress() == {0: Progress(Lag(0, 0.0), 0, held=False)})


async def test_who_can_no_longer_ask_for_the_end_fails(bench: Bench) -> None:
    """A defect there would leave the lag as it was for ever, so the pipeline ends with it."""

    class Broken(MemoryPartition):
        async def end(self) -> int:
            raise ZeroDivisionError

    bench.partitions.append(Broken(bench.clock))
    bench.start()
    await until(bench.assignment.failed.done)

    assert isinstance(bench.assignment.failed.exception(), ZeroDivisionError)
