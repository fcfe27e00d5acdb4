"""One pipeline per partition: what it writes, what it sets aside, and which offset may be committed when."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from lastlogin_consumer.compact import WindowLimits
from lastlogin_consumer.decode import Decoder, Login
from lastlogin_consumer.metrics import Totals
from lastlogin_schemas.address import column_bytes
from lastlogin_schemas.event import LoginEvent
from tests.support.bench import Bench
from tests.support.logins import AT_US, event_record, login, record
from tests.support.memory import MemoryPartition, MemoryTable, until


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A bench whose pipelines end with the test."""
    bench = Bench()
    yield bench
    await bench.assignment.abandon()
    bench.assignment.failed.cancel()


async def test_events_become_rows_and_their_offsets_pass(bench: Bench) -> None:
    """The newest login is in the table, and everything before the next offset is done."""
    partition = bench.partition(
        login("a", AT_US + 5, ip="192.0.2.1"), login("a", AT_US, ip="192.0.2.2"), login("b", AT_US)
    )
    bench.start()
    await until(lambda: partition.watermark == 3)

    assert {"imap": (AT_US // 1000, AT_US + 5, bytes([192, 0, 2, 1]))} == bench.table.row("a")
    assert {"imap": (AT_US // 1000, AT_US, None)} == bench.table.row("b")
    assert Totals(fetched=3, written=2, merged=1) == bench.totals


async def test_nothing_is_passed_before_its_row_is_acknowledged(bench: Bench) -> None:
    """While Cassandra is away the watermark stands still; it moves when the rows are acknowledged."""
    partition = bench.partition(login())
    bench.table.gate.close()
    bench.start()
    await until(lambda: bench.table.gate.waiting == 1)

    assert partition.watermark is None
    bench.table.gate.open()
    await until(lambda: partition.watermark == 1)


async def test_poison_is_set_aside_and_passed(bench: Bench) -> None:
    """A bad record ends in the dead letters with its bytes; the login behind it in the table."""
    partition = bench.partition(b"not an event", login("a"), None)
    bench.start()
    await until(lambda: partition.watermark == 3)

    assert [("unknown_framing", b"not an event", 0), ("null_value", None, 2)] == [
        (poison.reason, poison.record.value, poison.record.offset) for poison in bench.dead_letters.letters
    ]
    assert "imap" in bench.table.row("a")
    assert Totals(fetched=3, written=1, set_aside=Counter({"unknown_framing": 1, "null_value": 1})) == bench.totals


async def test_dead_letters_are_logged_by_reason(bench: Bench) -> None:
    """For each reason one line at once, with the place of the first record; the next one says how many there were."""
    bench.partition(b"not an event", None, b"nor this", None, None)
    bench.dead_letters.gate.close()
    with capture_logs() as said:
        bench.start()
        await until(lambda: bench.dead_letters.gate.waiting == 1)
        assert [] == said
        bench.dead_letters.gate.open()
        await until(lambda: bench.partitions[0].watermark == 5)
        bench.log_clock.now += 30
        bench.partitions[0].append(record(None))
        await until(lambda: bench.partitions[0].watermark == 6)

    assert [("unknown_framing", 0, 0, 0), ("null_value", 0, 1, 0), ("null_value", 0, 5, 2)] == [
        (line["reason"], line["partition"], line["offset"], line["suppressed"]) for line in said
    ]
    assert {"dead_lettered"} == {line["action"] for line in said}


async def test_dead_letters_are_logged_by_event(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose event can be read is named by its id, no user and no address. For those without a line it is not read."""
    future = login("a", AT_US + 600_000_000, ip="192.0.2.1")._replace(event_id="0123456789abcdef" * 2)
    asked, event_id = [], Decoder.event_id
    monkeypatch.setattr(Decoder, "event_id", lambda own, record: asked.append(record.offset) or event_id(own, record))
    bench.partition(b"not an event", future, *[b"another"] * 100)
    with capture_logs() as said:
        bench.start()
        await until(lambda: bench.partitions[0].watermark == 102)

    assert [0, 1] == asked
    assert [(0, None), (1, future.event_id)] == [(line["offset"], line["event_id"]) for line in said]


async def test_holes_are_logged_occasionally(bench: Bench) -> None:
    """A topic with holes, of transactions or somebody's deleting, has one line in 30 s for each partition."""
    partition = bench.partition(login("a"), login("b"))
    partition.deleted = {0, 2, 4, 6}
    with capture_logs() as said:
        bench.start()
        for end in (2, 4, 6):
            await until(lambda end=end: partition.watermark == end)  # type: ignore[misc]
            partition.append(event_record(login("deleted")))
            partition.append(event_record(login("c")))
        await until(lambda: partition.watermark == 8)

    assert [("offsets_missing", 0, 0, 1)] == [
        (line["action"], line["partition"], line["first"], line["missing"]) for line in said
    ]


async def test_dead_letters_that_cannot_be_sent_hold_their_partition_only(bench: Bench) -> None:
    """Poison that is not acknowledged is never passed; its rows are written, and other partitions go on."""
    held = bench.partition(b"not an event", login("a"))
    other = bench.partition(login("b"))
    bench.dead_letters.gate.close()
    bench.start()
    await until(lambda: other.watermark == 1 and bench.dead_letters.gate.waiting == 1)

    assert held.watermark is None
    assert "imap" in bench.table.row("a")
    bench.dead_letters.gate.open()
    await until(lambda: held.watermark == 2)


async def test_services_without_columns_are_passed(bench: Bench) -> None:
    """A login of a service that the table does not have is counted and not written."""
    partition = bench.partition(login("a", service="managesieve"))
    with capture_logs() as said:
        bench.start()
        await until(lambda: partition.watermark == 1)

    assert {} == bench.table.row("a")
    assert Totals(fetched=1, unmapped=1) == bench.totals
    [line] = said
    assert ("unmapped", "managesieve", 0, 0) == (line["action"], line["service"], line["partition"], line["offset"])


async def test_logins_that_would_be_forgotten_at_once_are_passed() -> None:
    """With a TTL a login that is older than it is counted and not written; the others are."""
    bench = Bench(ttl_s=60)
    partition = bench.partition(login("a", AT_US - 60_000_000), login("b", AT_US - 59_000_000))
    bench.start()
    await until(lambda: partition.watermark == 2)

    assert {} == bench.table.row("a")
    assert "imap" in bench.table.row("b")
    assert Totals(fetched=2, written=1, expired=1) == bench.totals
    await bench.assignment.abandon()
    bench.assignment.failed.cancel()


async def test_a_damaged_record_holds_its_partition_after_all_before_it(bench: Bench) -> None:
    """Good records before the damaged one are written; nothing is skipped; it goes on when it can be read."""
    partition = bench.partition(*(login(f"user{n}") for n in range(10)))
    partition.damaged = {7}
    bench.start()
    await until(lambda: partition.watermark == 7)

    assert {} == bench.table.row("user7")
    partition.damaged = set()
    await until(lambda: partition.watermark == 10)
    assert "imap" in bench.table.row("user7")


async def test_a_refused_fetch_is_tried_again(bench: Bench) -> None:
    """Whatever Kafka refuses for now is asked for again from the same offset."""
    partition = bench.partition(login("a"))
    partition.refuses = 3
    bench.start()
    await until(lambda: partition.watermark == 1)

    assert "imap" in bench.table.row("a")


async def test_deleted_records_are_left_behind(bench: Bench) -> None:
    """When Kafka no longer has our offset, we go on at the earliest one."""
    partition = bench.partition(*(login(f"user{n}") for n in range(5)))
    partition.first = 3
    partition.committed = 1
    bench.start()
    await until(lambda: partition.watermark == 5)

    assert {} == bench.table.row("user2")
    assert "imap" in bench.table.row("user3")


async def test_a_topic_made_anew_is_read_from_its_start(bench: Bench) -> None:
    """A committed offset behind the end of the log means that it is another log."""
    partition = bench.partition(login("a"))
    partition.committed = 1000
    bench.start()
    await until(lambda: partition.watermark == 1)

    assert "imap" in bench.table.row("a")


async def test_stopping_writes_what_waits(bench: Bench) -> None:
    """What has been fetched is written and passed, however long its window would have lingered."""
    bench = Bench(WindowLimits(linger_s=3600, max_records=1000, max_bytes=1_000_000))
    partition = bench.partition(login("a"))
    bench.clock.now = -1e9
    bench.start()
    await until(lambda: bench.totals.fetched == 1)

    assert 0 == await bench.assignment.close(10)
    assert 1 == partition.watermark
    assert "imap" in bench.table.row("a")


async def test_stopping_does_not_wait_for_records(bench: Bench) -> None:
    """A pipeline that waits for records ends at once."""

    class Waiting(MemoryPartition):
        async def fetch(self, position: int, limit: int, wait_s: float) -> NoReturn:
            await asyncio.Event().wait()
            raise AssertionError

    bench.partitions.append(Waiting(bench.clock))
    bench.start()
    await asyncio.sleep(0)

    assert 0 == await bench.assignment.close(10)


async def test_what_cannot_be_written_in_time_is_left_and_counted(bench: Bench) -> None:
    """At the deadline the rest stays unwritten and uncommitted: whoever comes next reads it again."""
    partition = bench.partition(login("a"), login("b"))
    bench.table.gate.close()
    bench.start()
    await until(lambda: bench.table.gate.waiting == 1)

    assert 2 == await bench.assignment.close(0)
    assert partition.watermark is None
    assert 0 == bench.table.gate.waiting


async def test_after_the_end_no_partition_is_taken(bench: Bench) -> None:
    """A rebalance that ends while we stop starts nothing."""
    partition = bench.partition(login("a"))
    await bench.assignment.close(0)
    bench.start()
    for _ in range(100):
        await asyncio.sleep(0)

    assert partition.watermark is None


async def test_a_defect_is_told(bench: Bench) -> None:
    """An exception that nobody expected is the assignment's failure, and passes nothing."""

    class Broken(MemoryTable):
        async def write(self, logins: Sequence[Login]) -> None:
            raise ZeroDivisionError

    bench.table = Broken()
    bench.assignment = bench.new_assignment()
    partition = bench.partition(login("a"))
    bench.start()

    with pytest.raises(ZeroDivisionError):
        await bench.assignment.failed
    assert partition.watermark is None


async def test_a_defect_while_stopping_is_told(bench: Bench) -> None:
    """A pipeline that fails on its last window makes the stop fail, too."""

    class Broken(MemoryTable):
        async def write(self, logins: Sequence[Login]) -> None:
            await self.gate()
            raise ZeroDivisionError

    bench.table = Broken()
    bench.table.gate.close()
    bench.assignment = bench.new_assignment()
    bench.partition(login("a"))
    bench.start()
    await until(lambda: bench.table.gate.waiting == 1)
    bench.table.gate.open()

    with pytest.raises(ZeroDivisionError):
        await bench.assignment.close(10)


async def test_windows_of_all_partitions_keep_within_the_limit() -> None:
    """With Cassandra away no more records wait than allowed, however many partitions there are."""
    bench = Bench(WindowLimits(linger_s=3600, max_records=40, max_bytes=1_000_000))
    for number in range(4):
        bench.partition(*(login(f"user{number}-{n}") for n in range(50)))
    bench.table.gate.close()
    bench.start()
    await until(lambda: bench.table.gate.waiting == 4)

    assert 40 == bench.totals.fetched
    assert 40 == await bench.assignment.close(0)


users = st.sampled_from(["a", "b", "c", "d"])
events = st.builds(
    lambda user, at, ip: login(user, AT_US + at, ip=ip),
    users,
    st.integers(0, 6),
    st.sampled_from([None, "192.0.2.9", "192.0.2.10", "::1"]),
)
steps: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(st.just("publish"), st.lists(events | st.just(b"poison"), min_size=1, max_size=6)),
    st.tuples(st.just("work"), st.integers(0, 60)),
    st.tuples(st.just("commit"), st.none()),
    st.tuples(st.just("crash"), st.none()),
    st.tuples(st.just("rebalance"), st.none()),
    st.tuples(st.just("outage"), st.booleans()),
    st.tuples(st.just("refuse"), st.sets(users, max_size=2)),
)


def _publish(bench: Bench, items: list[LoginEvent | bytes]) -> None:
    for item in items:
        if isinstance(item, LoginEvent):
            bench.partitions[ord(item.user) % 2].append(event_record(item))
        else:
            bench.partitions[0].append(record(item))


async def _step(bench: Bench, step: str, argument: Any) -> None:
    match step:
        case "publish":
            _publish(bench, argument)
        case "work":
            for _ in range(argument):
                await asyncio.sleep(0)
        case "commit":
            for partition in bench.partitions:
                partition.commit()
        case "crash":
            await bench.assignment.abandon()
            bench.assignment = bench.new_assignment()
            bench.start()
        case "rebalance":
            await bench.assignment.finish(0)
            await _step(bench, "commit", None)
            bench.start()
        case "outage":
            (bench.table.gate.close if argument else bench.table.gate.open)()
        case "refuse":
            bench.table.refused = argument


async def _play(script: list[tuple[str, Any]]) -> None:
    bench = Bench()
    partitions = [bench.partition(), bench.partition()]
    bench.start()
    for step, argument in script:
        await _step(bench, step, argument)
    items = [item for step, argument in script if step == "publish" for item in argument]
    published = [item for item in items if isinstance(item, LoginEvent)]
    poison = len(items) - len(published)
    bench.table.gate.open()
    await until(lambda: all((p.watermark or 0) == len(p.records) for p in partitions))
    letters = bench.dead_letters.letters
    bad = {(p.record.partition, p.record.offset) for p in letters if p.reason != "refused"}
    refused = {p.record.value for p in letters if p.reason == "refused"}

    newest: dict[str, tuple[int, bytes]] = {}
    for event in published:
        rank = (event.login_at_us, column_bytes(event.remote_ip))
        newest[event.user] = max(newest.get(event.user, rank), rank)
    for event in published:
        rank = newest[event.user]
        if rank == (event.login_at_us, column_bytes(event.remote_ip)) and event_record(event).value not in refused:
            assert {"imap": (rank[0] // 1000, rank[0], rank[1] or None)} == bench.table.row(event.user)
    assert poison == len(bad)
    await bench.assignment.abandon()
    bench.assignment.failed.cancel()


@given(st.lists(steps, max_size=25))
@settings(deadline=None)
def test_whatever_happens_every_login_counts(script: list[tuple[str, Any]]) -> None:
    """Crashes, rebalances, commits, outages and refusals in any order: the table ends at each user's newest login.

    Or this one is among the dead letters, as is every bad record, at least once.
    """
    asyncio.run(_play(script))
