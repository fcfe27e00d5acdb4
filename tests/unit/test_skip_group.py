"""Moving the group's offset."""

import asyncio
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError

from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_consumer.skip.group import GroupOffset
from lastlogin_service.exits import Exit
from lastlogin_service.settings import load


SETTINGS = load(
    ConsumerSettings,
    None,
    {"LASTLOGIN_CONSUMER_KAFKA__BOOTSTRAP_SERVERS": "k:1", "LASTLOGIN_CONSUMER_CASSANDRA__CONTACT_POINTS": "c"},
)


class Coordinator:
    """In the place of Kafka: what becomes of a commit."""

    def __init__(self, answer: BaseException | None = None) -> None:
        self.answer = answer

    async def commit(self, _offsets: object) -> None:
        """Fail, or never answer."""
        if self.answer is not None:
            raise self.answer
        await asyncio.Event().wait()


def group(coordinator: Coordinator) -> GroupOffset:
    """The offset of partition 0 there."""
    return GroupOffset(SETTINGS, cast("Any", coordinator), TopicPartition("events", 0))


async def test_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that is not acknowledged may have been done: that is told, not raised, for the audit line."""
    monkeypatch.setattr("lastlogin_consumer.skip.group._COMMIT_TIMEOUT_S", 0.01)

    assert not await group(Coordinator()).move(5)


async def test_members() -> None:
    """A group that has members by now is not touched."""
    with pytest.raises(Exit, match="the group lastlogin-consumer has members: stop its consumers first") as end:
        await group(Coordinator(CommitFailedError())).move(5)
    assert 75 == end.value.code
