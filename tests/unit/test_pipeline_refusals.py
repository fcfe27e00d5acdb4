"""What becomes of rows that the table does not take, and of a topic that is mostly poison."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from lastlogin_consumer.compact import WindowLimits
from lastlogin_consumer.metrics import Totals
from tests.support.bench import Bench
from tests.support.logins import AT_US, event_record, login
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


async def test_refused_rows_are_read_again_together(bench: Bench) -> None:
    """In one reading of their window, and no further: what was published meanwhile comes after it."""
    partition = bench.partition(*(login(f"u{number}", AT_US) for number in range(100)))
    bench.table.refused = {f"u{number}" for number in range(40)}
    bench.table.gate.close()
    bench.start()
    await until(lambda: bench.table.gate.waiting == 1)
    partition.append(event_record(login("later")))
    fetches, seen = partition.fetches, []
    bench.table.gate.open()
    while partition.watermark != 101:
        seen.append(partition.watermark)
        await asyncio.sleep(0)

    assert {None, 100} == set(seen)
    assert partition.fetches - fetches < 10
    assert list(range(40)) == [letter.record.offset for letter in bench.dead_letters.letters]
    assert Totals(fetched=201, written=61, set_aside=Counter({"refused": 40})) == bench.totals


async def test_what_is_read_again_keeps_within_the_limits() -> None:
    """Records take more room than logins: those of one window are set aside in two."""
    bench = Bench(WindowLimits(linger_s=3600, max_records=2000, max_bytes=650_000))
    partition = bench.partition(*(login(f"u{number:04}", AT_US) for number in range(1200)))
    bench.table.refused = {f"u{number:04}" for number in range(0, 1200, 3)}
    bench.start()
    watermarks = set()
    while partition.watermark != 1200:
        watermarks.add(partition.watermark)
        await asyncio.sleep(0)
    await bench.assignment.abandon()

    assert {None, 1000} == watermarks
    assert list(range(0, 1200, 3)) == [letter.record.offset for letter in bench.dead_letters.letters]


async def test_an_older_login_is_written_when_the_newest_one_is_refused(bench: Bench) -> None:
    """It was merged into the refused one; where all are refused only the newest is set aside."""
    partition = bench.partition(login("a", AT_US), login("b", AT_US), login("a", AT_US + 5), login("b", AT_US + 5))
    bench.table.refused = {"b"}
    bench.table.refused_at = {AT_US + 5}
    bench.start()
    await until(lambda: partition.watermark == 4)

    assert AT_US == bench.table.row("a")["imap"][1]
    assert [2, 3] == [letter.record.offset for letter in bench.dead_letters.letters]
    assert Totals(fetched=8, written=1, merged=1, set_aside=Counter({"refused": 2})) == bench.totals


async def test_a_log_that_was_cut_is_not_read_again_to_its_former_end(bench: Bench) -> None:
    """Refusals are forgotten with it; a stop does not wait for what will not come."""
    partition = bench.partition(*(login(f"u{number}", AT_US) for number in range(6)))
    partition.committed = 3
    bench.table.refused = {"u4"}
    bench.table.gate.close()
    bench.start()
    await until(lambda: bench.table.gate.waiting == 1)
    del partition.records[1:]
    bench.table.gate.open()
    await until(lambda: partition.watermark == 1)
    async with asyncio.timeout(5):
        await bench.assignment.close(60)

    assert [] == bench.dead_letters.letters


async def test_a_stop_does_not_read_again(bench: Bench) -> None:
    """A group that is rebalancing gives nobody records: nothing is passed, and whoever is next reads it again."""
    partition = bench.partition(login("a", AT_US), login("b", AT_US))
    bench.table.refused = {"a"}
    bench.table.gate.close()
    bench.start()
    await until(lambda: bench.table.gate.waiting == 1)
    closing = asyncio.create_task(bench.assignment.close(10))
    await asyncio.sleep(0)
    bench.table.gate.open()

    assert 0 == await closing
    assert partition.watermark is None
    assert [] == bench.dead_letters.letters


async def test_a_stop_does_not_wait_for_the_breaker(bench: Bench) -> None:
    """Its rest is longer than others wait for the partition: nothing of the window is passed."""
    partition = bench.partition(*[b"poison"] * 300)
    bench.start()
    await until(lambda: bench.breaker.open_for(bench.clock()) > 0)
    async with asyncio.timeout(5):
        assert 0 == await bench.assignment.close(60)

    assert partition.watermark is None
    assert [] == bench.dead_letters.letters


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
    await until(lambda: bench.breaker.open_for(bench.clock()) > 0)
    assert 120 == sum(bool(bench.table.row(f"u{number}")) for number in range(300))
    assert ([], None) == (bench.dead_letters.letters, partition.watermark)

    bench.clock.now += 301
    await until(lambda: partition.watermark == 300)

    assert 180 == len(bench.dead_letters.letters)
    assert 120 == bench.totals.written


async def test_refused_rows_are_tried_once_more_after_a_rest(bench: Bench) -> None:
    """A guardrail that was mended meanwhile has cost nothing: all are written, and counted once."""
    partition = bench.partition(*(login(f"u{number}", AT_US) for number in range(300)))
    bench.table.refused = {f"u{number}" for number in range(200)}
    bench.start()
    await until(lambda: bench.breaker.open_for(bench.clock()) > 0)
    bench.table.refused = set()
    bench.clock.now += 301
    await until(lambda: partition.watermark == 300)

    assert [] == bench.dead_letters.letters
    assert all(bench.table.row(f"u{number}") for number in range(300))
    assert (300, 0) == (bench.totals.written, bench.totals.set_aside["refused"])


async def test_rows_that_are_refused_after_a_rest_as_well_are_set_aside(bench: Bench) -> None:
    """Each one once, and without another rest for the same records; those behind them are judged anew."""
    partition = bench.partition(*(login(f"u{number}", AT_US) for number in range(300)))
    bench.table.refused = {f"u{number}" for number in range(200)}
    bench.start()
    await until(lambda: bench.breaker.open_for(bench.clock()) > 0)
    bench.clock.now += 301
    await until(lambda: partition.watermark == 300)

    assert list(range(200)) == [letter.record.offset for letter in bench.dead_letters.letters]
    assert 0 == bench.breaker.open_for(bench.clock())
    for record in partition.records[:]:
        partition.append(record)
    await until(lambda: bench.breaker.open_for(bench.clock()) > 0)
    assert 300 == partition.watermark
