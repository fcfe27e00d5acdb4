"""The group's offset of one partition, looked at and moved from outside."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError

from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_service.counting import counted
from lastlogin_service.exits import TEMPFAIL, Exit
from lastlogin_service.kafka_admin import admin_client, check
from lastlogin_service.scan import reading


# aiokafka repeats a commit for ever while the coordinator is away.
_COMMIT_TIMEOUT_S = 20.0
_HAS_MEMBERS = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)


class GroupOffset:
    """Where the consumers of a group begin to read a partition."""

    def __init__(self, settings: ConsumerSettings, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        self._settings = settings
        self._consumer = consumer
        self._partition = partition

    async def committed(self) -> int | None:
        """Where they begin; None: at the earliest record. Raises KafkaError."""
        committed: int | None = await self._consumer.committed(self._partition)
        return committed

    async def require_no_members(self) -> None:
        """Raise `Exit` (75) while consumers of the group run, 69 or 78 when Kafka does not tell."""
        group = self._settings.group
        async with admin_client(self._settings.kafka) as admin:
            [response] = await admin.describe_consumer_groups([group])
        [(code, _, _, _, _, members, *_)] = response.groups
        check(code, f"describe the group {group}")
        if members:
            raise self._members(len(members))

    async def move(self, offset: int) -> bool:
        """Let them begin at `offset`; whether Kafka has acknowledged that: else it may have been done.

        Raises `Exit` (75) when there are members by now, and KafkaError.
        """
        try:
            async with asyncio.timeout(_COMMIT_TIMEOUT_S):
                await self._consumer.commit({self._partition: offset})
        except _HAS_MEMBERS:
            raise self._members(None) from None
        except TimeoutError:
            return False
        return True

    def _members(self, count: int | None) -> Exit:
        many = "members" if count is None else counted(count, "member")
        return Exit(
            TEMPFAIL,
            f"the group {self._settings.group} has {many}: stop its consumers first, nothing was skipped "
            "(one that was killed counts for 30 s)",
        )


@asynccontextmanager
async def group_offset(settings: ConsumerSettings, client_id: str, number: int) -> AsyncIterator[GroupOffset]:
    """Give the offset, by a client that is no member. What Kafka raises inside becomes `Exit`."""
    partition = TopicPartition(settings.topics.events, number)
    async with reading(settings.kafka, client_id, group_id=settings.group, auto_offset_reset="none") as consumer:
        consumer.assign([partition])
        # Nothing is fetched through this one.
        consumer.pause(partition)
        consumer.seek(partition, 0)
        yield GroupOffset(settings, consumer, partition)
