"""Finding what of a partition in memory can be read."""

from collections.abc import Iterable, Sequence

import pytest

from lastlogin_consumer.decode import Record
from lastlogin_consumer.errors import FetchFailed
from lastlogin_consumer.replay.stretch_log import StretchLog
from lastlogin_consumer.replay.stretches import Edges, Stretch
from lastlogin_consumer.skip.surveying import survey
from tests.support.logins import record
from tests.support.memory import MemoryPartition, VirtualClock


class Withholding(MemoryPartition):
    """Gives nothing at some offsets, as a broker that has lost its way in a file."""

    withheld: range = range(0)

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        # Offsets at which the first fetch fails.
        self.shaky: set[int] = set()

    async def fetch(self, position: int, limit: int, wait_s: float) -> Sequence[Record]:
        if position in self.shaky:
            self.shaky.remove(position)
            raise FetchFailed("no leader")
        if position in self.withheld:
            self._clock.now += wait_s
            return ()
        if position < self.withheld.start:
            limit = min(limit, self.withheld.start - position)
        return await super().fetch(position, limit, wait_s)


class MemoryTopic:
    """The events topic with one partition."""

    def __init__(self, records: int) -> None:
        self.clock = VirtualClock()
        self.partition = Withholding(self.clock)
        for _ in range(records):
            self.partition.append(record(b""))

    def assign(self, stretches: Iterable[Stretch]) -> list[StretchLog]:
        """Give them to be read."""

        async def position() -> int:
            return -1

        return [StretchLog(each, self.partition, position, self.clock) for each in stretches]


async def _given_up(topic: MemoryTopic, first: int, end: int) -> list[Stretch]:
    found = await survey(topic, Stretch(0, first, end), Edges(0, len(topic.partition.records)))
    assert end - first == found.readable + sum(each.offsets for each in found.given_up)
    return found.given_up


async def test_damaged_records_are_found_one_by_one() -> None:
    """However they are spread; what is between them can be read."""
    topic = MemoryTopic(2000)
    topic.partition.damaged = {700, 701, 703, 1200, 1999}

    assert [Stretch(0, 700, 702), Stretch(0, 703, 704), Stretch(0, 1200, 1201)] == await _given_up(topic, 600, 1300)
    assert [Stretch(0, 1999, 2000)] == await _given_up(topic, 1900, 2000)


@pytest.mark.parametrize("withheld", [range(700, 1100), range(700, 701), range(700, 1900)])
async def test_what_is_withheld_is_found_in_a_few_steps(withheld: range) -> None:
    """Its first offset and the one behind it, without a wait for each record."""
    topic = MemoryTopic(2000)
    topic.partition.withheld = withheld

    assert [Stretch(0, 700, min(withheld.stop, 1300))] == await _given_up(topic, 600, 1300)
    assert topic.clock.now < 90


async def test_what_else_is_wrong_behind_it_is_not_taken_for_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a try meets a damaged record, or a leader that has just gone, what is before it can still be read."""
    monkeypatch.setattr("lastlogin_consumer.skip.surveying._WAIT_S", 0.1)
    topic = MemoryTopic(2000)
    topic.partition.withheld = range(700, 710)
    topic.partition.damaged = {715}
    topic.partition.shaky = {711}

    assert [Stretch(0, 700, 710), Stretch(0, 715, 716)] == await _given_up(topic, 600, 1300)


async def test_a_topic_that_kafka_lost_sight_of() -> None:
    """Kafka that goes away is not damage."""
    topic = MemoryTopic(10)
    topic.partition.refuses = 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lastlogin_consumer.skip.surveying._WAIT_S", 0.0)
        assert [] == await _given_up(topic, 0, 10)
