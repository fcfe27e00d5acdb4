"""What becomes of rows that the table does not take, and of a topic that is mostly poison."""

from collections.abc import AsyncIterator

import pytest

from tests.support.bench import Bench
from tests.support.logins import AT_US, login
from tests.support.memory import until


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Pipelines in memory."""
    bench = Bench()
    yield bench
    await bench.assignment.abandon()


async def test_a_refused_row_is_set_aside_with_its_record(bench: Bench) -> None:
    """Its record is read again and sent as it was; the rows around it are written, and all of them passed."""
    partition = bench.partition(login("a", AT_US), login("b", AT_US), login("c", AT_US))
    bench.table.refused = {"b"}
    bench.start()
    await until(lambda: partition.watermark == 3)

    [letter] = bench.dead_letters.letters
    assert ("refused", 1, partition.records[1].value) == (letter.reason, letter.record.offset, letter.record.value)
    assert bench.table.row("a")
    assert {} == bench.table.row("b")
    assert (2, 1) == (bench.totals.written, bench.totals.set_aside["refused"])


async def test_a_refused_record_that_was_deleted_is_counted_as_lost(bench: Bench) -> None:
    """Nothing is set aside, and its partition goes on."""
    partition = bench.partition(login("a", AT_US), login("b", AT_US))
    bench.table.refused = {"a"}
    bench.table.gate.close()
    bench.start()
    await until(lambda: bench.table.gate.waiting == 1)
    partition.first = 1
    bench.table.gate.open()
    await until(lambda: partition.watermark == 2)

    assert [] == bench.dead_letters.letters
    assert 1 == bench.totals.lost


async def test_a_refused_record_is_read_again_when_kafka_is_back(bench: Bench) -> None:
    """While it cannot be fetched nothing is passed."""
    partition = bench.partition(login("a", AT_US))
    bench.table.refused = {"a"}
    bench.table.gate.close()
    bench.start()
    await until(lambda: bench.table.gate.waiting == 1)
    partition.refuses = 3
    bench.table.gate.open()
    await until(lambda: partition.watermark == 1)

    assert ["refused"] == [letter.reason for letter in bench.dead_letters.letters]


async def test_mostly_poison_is_not_set_aside(bench: Bench) -> None:
    """More than half of 200 records are bad: rows are written, nothing is set aside or passed for five minutes."""
    records = [login(f"u{number}", AT_US) if number % 5 < 2 else b"poison" for number in range(300)]
    partition = bench.partition(*records)
    bench.start()
    await until(lambda: bench.totals.written == 120)
    assert bench.breaker.open_for(bench.clock()) > 0
    assert ([], None) == (bench.dead_letters.letters, partition.watermark)

    bench.clock.now += 301
    await until(lambda: partition.watermark == 300)

    assert 180 == len(bench.dead_letters.letters)
