"""Records that were set aside, published as the logins that they are by now."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from lastlogin_ops.aside_topic import AsideTopic
from lastlogin_ops.replaying import Message, Outcome, Passed, Unfit
from lastlogin_ops.set_aside import Chosen, Found
from lastlogin_schemas.partitioner import partition_of
from lastlogin_service.exits import UNAVAILABLE, Exit
from lastlogin_service.kafka import KafkaSettings, client_options
from lastlogin_service.kafka_admin import in_words
from lastlogin_service.scan import Scan
from lastlogin_service.tasks import end_within
from lastlogin_service.topics import partitions_of


# A Kafka that is away would hold Ctrl-C for as long as a request may take.
_STOP_S = 5.0
# aiokafka gives up by itself, but after so many time-outs of a request that nobody waits for it.
_PUBLISH_S = 30.0

F = TypeVar("F", bound=Found)


class EventsTopic:
    """Where logins go."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partitions: int) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions

    async def publish(self, messages: Sequence[Message]) -> list[bool]:
        """Publish all, and tell of each whether Kafka has it; else it is too large. Raises KafkaError."""
        try:
            async with asyncio.timeout(_PUBLISH_S):
                return await self._publish(messages)
        except TimeoutError:
            raise KafkaTimeoutError from None

    async def _publish(self, messages: Sequence[Message]) -> list[bool]:
        sent = []
        for each in messages:
            try:
                future = await self._producer.send(
                    self._topic,
                    each.value,
                    key=each.key,
                    partition=partition_of(each.user, self._partitions),
                    headers=each.headers,
                )
            except MessageSizeTooLargeError as error:
                future = asyncio.get_running_loop().create_future()
                future.set_exception(error)
            sent.append(future)
        results = await asyncio.gather(*sent, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, MessageSizeTooLargeError):
                raise result
        return [not isinstance(result, BaseException) for result in results]


@dataclass(frozen=True, slots=True)
class Replay(Generic[F]):
    """One replay: of which topic, by which rules, of which records."""

    topic: AsideTopic[F]
    judge: Callable[[F], Message | Unfit | Passed]
    chosen: Chosen

    async def run(
        self, scan: Scan, target: EventsTopic | None, outcome: Outcome, advance: Callable[[int], object]
    ) -> None:
        """Judge every record of `scan` into `outcome` and publish the logins to `target`; None: only judge.

        `outcome` is right whenever it ends, also by an exception: what it calls published, Kafka has.
        """
        async for piece in scan.pieces():
            logins: list[tuple[F, Message]] = []
            for record in piece:
                found = self.topic.read(record)
                if self.chosen.takes(found) and (message := outcome.add(found, self.judge(found))) is not None:
                    logins.append((found, message))
            taken = await target.publish([message for _, message in logins]) if target else [True] * len(logins)
            for (found, _), published in zip(logins, taken, strict=True):
                if published:
                    outcome.share_of(found).published += 1
                else:
                    outcome.refuse(found, Unfit("too_large", "Kafka takes no message of this size"))
            advance(len(piece))


@asynccontextmanager
async def events_topic(settings: KafkaSettings, topic: str, compression: str) -> AsyncIterator[EventsTopic]:
    """Give the events topic to publish to. What Kafka raises inside becomes `Exit`.

    Raises `Exit` when the topic is missing or may not be written (78), or Kafka is away (69).
    """
    partitions = await partitions_of(settings, topic, "topics.events")
    producer = AIOKafkaProducer(
        **client_options(settings, "lastlogin-replay"),
        acks="all",
        enable_idempotence=False,
        compression_type=None if compression == "none" else compression,
    )
    try:
        await producer.start()
        yield EventsTopic(producer, topic, len(partitions))
    except KafkaError as error:
        end = in_words(error, "", settings)
        raise (Exit(UNAVAILABLE, str(error)) if end is error else end) from None
    finally:
        await end_within(_STOP_S, producer.stop())
