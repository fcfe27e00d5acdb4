"""What a pipeline may count on of the log that it reads and the topic that it sets poison aside in.

Each test runs on the fake of the unit tests and on Kafka.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from random import Random
from typing import Protocol

import pytest

from lastlogin_consumer.dead_letters import DeadLetters
from lastlogin_consumer.decode import Poison, PoisonReason, Record
from lastlogin_consumer.ends import Partition, SetAside
from lastlogin_consumer.errors import OffsetLost
from lastlogin_consumer.source import PartitionLog, Source
from lastlogin_service.backoff import Backoff
from lastlogin_service.histogram import Histogram
from lastlogin_service.kafka import KafkaSettings, client_options
from lastlogin_stack.layout import Layout
from tests.support.logins import record
from tests.support.memory import MemoryDeadLetters, MemoryPartition, VirtualClock
from tests.support.topics import Topics, own_topics


class Log(Protocol):
    """A topic with one partition, and a dead-letter topic."""

    @property
    def set_aside(self) -> SetAside:
        """The way to the dead-letter topic."""

    def publish(self, *values: bytes | None) -> None:
        """Append records with the key `k` and a header."""

    def delete_before(self, offset: int) -> None:
        """Delete the records below an offset."""

    async def open(self) -> Partition:
        """Get the partition assigned, as one who has just joined the group."""

    async def commit(self) -> None:
        """Commit what is done."""

    async def close(self) -> None:
        """Leave the group."""

    def letters(self) -> list[tuple[bytes | None, bytes | None, str, int]]:
        """Key, value, reason and offset of each dead letter."""


HEADERS = [("origin", b"mail1/1/1")]


class MemoryLog:
    """The fakes of the unit tests."""

    def __init__(self) -> None:
        self._partition = MemoryPartition(VirtualClock())
        self._letters = MemoryDeadLetters()
        self.set_aside = self._letters

    def publish(self, *values: bytes | None) -> None:
        for value in values:
            self._partition.append(record(value, HEADERS, key=b"k"))

    def delete_before(self, offset: int) -> None:
        self._partition.first = offset

    async def open(self) -> Partition:
        self._partition.watermark = None
        return self._partition

    async def commit(self) -> None:
        self._partition.commit()

    async def close(self) -> None:
        pass

    def letters(self) -> list[tuple[bytes | None, bytes | None, str, int]]:
        return [(p.record.key, p.record.value or b"", p.reason, p.record.offset) for p in self._letters.letters]


class _Capture:
    """Takes the partitions that the group gives us."""

    def __init__(self) -> None:
        self.partitions: asyncio.Future[Sequence[PartitionLog]] = asyncio.get_running_loop().create_future()

    def assigned(self, partitions: Sequence[PartitionLog]) -> None:
        self.partitions.set_result(partitions)

    async def revoked(self) -> None:
        pass


class KafkaLog:
    """The real thing."""

    def __init__(self, layout: Layout, topics: Topics, dead_letters: DeadLetters) -> None:
        self.set_aside = dead_letters
        self._topics = topics
        self._options = _options(layout)
        self._source: Source | None = None

    def publish(self, *values: bytes | None) -> None:
        for value in values:
            self._topics.publish_raw(value, HEADERS, key=b"k")
        self._topics.flush()

    def delete_before(self, offset: int) -> None:
        self._topics.delete_records(offset)

    async def open(self) -> Partition:
        capture = _Capture()
        self._source = Source(self._options, self._topics.events, "contract", capture, Histogram(()))
        await self._source.start()
        async with asyncio.timeout(30):
            [partition] = await capture.partitions
        return partition

    async def commit(self) -> None:
        assert self._source is not None
        await self._source.commit()

    async def close(self) -> None:
        if self._source is not None:
            await self._source.stop(10)

    def letters(self) -> list[tuple[bytes | None, bytes | None, str, int]]:
        return [
            (letter.key, letter.value, letter.story["reason"], int(letter.story["offset"]))
            for letter in self._topics.letters()
        ]


def _options(layout: Layout) -> dict[str, object]:
    return client_options(KafkaSettings(bootstrap_servers=[layout.kafka_bootstrap]), "contract")


@pytest.fixture(params=["memory", "kafka"])
def layout_of_log(request: pytest.FixtureRequest) -> Layout | None:
    """The servers, for the real thing; made outside of the event loop, for to ask them takes one of its own."""
    layout: Layout | None = None if request.param == "memory" else request.getfixturevalue("stack")
    return layout


@pytest.fixture
async def log(layout_of_log: Layout | None) -> AsyncIterator[Log]:
    """A new log with one empty partition."""
    if (layout := layout_of_log) is None:
        yield MemoryLog()
        return
    with own_topics(layout) as topics:
        backoff = partial(Backoff, 0.01, 0.1, Random(0))  # noqa: S311 - jitter
        dead_letters = DeadLetters(_options(layout), topics.dead_letters, backoff)
        await dead_letters.start()
        log = KafkaLog(layout, topics, dead_letters)
        yield log
        await log.close()
        await dead_letters.stop(10)


async def _fetch(partition: Partition, position: int, count: int, limit: int = 100) -> list[bytes | None]:
    """Values of `count` records from `position` on; no fetch gives more than `limit`."""
    values: list[bytes | None] = []
    async with asyncio.timeout(30):
        while len(values) < count:
            records = await partition.fetch(position + len(values), limit, 0.2)
            assert len(records) <= limit
            assert [r.offset for r in records] == [position + len(values) + n for n in range(len(records))]
            values += [r.value for r in records]
    return values


async def _fetch_until_it_fails(partition: Partition, position: int) -> None:
    async with asyncio.timeout(30):
        while True:
            await partition.fetch(position, 100, 0.1)


async def test_a_new_group_begins_at_the_earliest_record(log: Log) -> None:
    """Without a committed offset nothing is skipped."""
    log.publish(b"0", b"1", b"2")
    partition = await log.open()

    assert 0 == await partition.start()
    assert [b"0", b"1", b"2"] == await _fetch(partition, 0, 3)


async def test_records_come_as_they_were_published(log: Log) -> None:
    """Key, value, headers, and the append time in milliseconds; a null value is None."""
    log.publish(b"\x00value", None)
    partition = await log.open()
    await partition.start()
    records: list[Record] = []
    while len(records) < 2:
        records += await partition.fetch(len(records), 100, 0.2)

    assert [b"\x00value", None] == [r.value for r in records]
    assert {b"k"} == {r.key for r in records}
    assert HEADERS == list(records[0].headers)
    assert records[0].timestamp > 1_600_000_000_000


async def test_a_fetch_gives_no_more_than_asked_for(log: Log) -> None:
    """The limit holds, and the next position goes on where the last fetch ended."""
    log.publish(*(b"%d" % n for n in range(10)))
    partition = await log.open()
    await partition.start()

    assert [b"%d" % n for n in range(10)] == await _fetch(partition, 0, 10, limit=3)


async def test_any_position_can_be_read_again(log: Log) -> None:
    """The position is the caller's: what was fetched before is fetched once more when asked for."""
    log.publish(*(b"%d" % n for n in range(5)))
    partition = await log.open()
    await partition.start()
    await _fetch(partition, 0, 5)

    assert [b"1", b"2", b"3", b"4"] == await _fetch(partition, 1, 4)


async def test_at_the_end_a_fetch_waits_and_gives_nothing(log: Log) -> None:
    """No records within the time is no error, and later ones are found from the same position."""
    log.publish(b"0")
    partition = await log.open()
    await partition.start()
    await _fetch(partition, 0, 1)

    assert [] == list(await partition.fetch(1, 100, 0.1))
    log.publish(b"1")
    assert [b"1"] == await _fetch(partition, 1, 1)


async def test_the_next_member_begins_at_the_committed_offset(log: Log) -> None:
    """What is done and committed is not read again; what is only done is."""
    log.publish(*(b"%d" % n for n in range(5)))
    partition = await log.open()
    await _fetch(partition, await partition.start(), 5)
    partition.done(3)
    await log.commit()
    partition.done(5)
    await log.close()

    partition = await log.open()
    assert 3 == await partition.start()
    assert [b"3", b"4"] == await _fetch(partition, 3, 2)


async def test_the_end_is_known_without_fetching(log: Log) -> None:
    """It is the offset that the next record will get, 0 when there was never one."""
    partition = await log.open()
    assert 0 == await partition.end()

    log.publish(b"0", b"1")
    assert 2 == await partition.end()


async def test_deleted_records_are_told(log: Log) -> None:
    """An offset that is gone raises, with the earliest one that can be read; from there it goes on."""
    log.publish(*(b"%d" % n for n in range(5)))
    partition = await log.open()
    await partition.start()
    await _fetch(partition, 0, 1)
    log.delete_before(3)

    with pytest.raises(OffsetLost) as lost:
        await _fetch_until_it_fails(partition, 1)
    assert 3 == lost.value.resume_at
    assert [b"3", b"4"] == await _fetch(partition, 3, 2)


async def test_an_offset_beyond_the_end_is_told(log: Log) -> None:
    """A log that ends before our offset is another log: it raises, with its earliest offset."""
    log.publish(b"0")
    partition = await log.open()

    with pytest.raises(OffsetLost) as lost:
        await _fetch_until_it_fails(partition, 1000)
    assert 0 == lost.value.resume_at


@pytest.mark.parametrize("key", [b"k", None])
async def test_what_is_set_aside_can_be_read(log: Log, key: bytes | None) -> None:
    """Once `send` has returned the letters are there: key, bytes, reason and where the record stands."""
    reasons: list[tuple[bytes | None, PoisonReason]] = [(b"\x00bad", "unknown_framing"), (None, "null_value")]
    await log.set_aside.send(
        [
            Poison(record(value, HEADERS, key=key, offset=41 + n), reason, "a sentence")
            for n, (value, reason) in enumerate(reasons)
        ]
    )

    assert [(key, b"\x00bad", "unknown_framing", 41), (key, b"", "null_value", 42)] == [
        (found, value or b"", reason, offset) for found, value, reason, offset in log.letters()
    ]
