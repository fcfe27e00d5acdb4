"""Writes that were set aside, published as the logins that they are by the rules of today."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from lastlogin_ops.producer_rules import ProducerFile, interpreter
from lastlogin_ops.quarantined import Chosen, Found, found_in
from lastlogin_ops.replaying import Outcome, message_of
from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.framing import prefix
from lastlogin_schemas.partitioner import partition_of
from lastlogin_schemas.schema import LOGIN_EVENT, Schema
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


class EventsTopic:
    """Where logins go, in the form that the producer gives them."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partitions: int, framing: bytes) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._framing = framing

    async def publish(self, events: Sequence[LoginEvent]) -> list[bool]:
        """Publish all, and tell of each whether Kafka has it; else it is too large. Raises KafkaError."""
        try:
            async with asyncio.timeout(_PUBLISH_S):
                return await self._publish(events)
        except TimeoutError:
            raise KafkaTimeoutError from None

    async def _publish(self, events: Sequence[LoginEvent]) -> list[bool]:
        sent = []
        for event in events:
            body, headers = message_of(event)
            key = event.user.encode()
            try:
                future = await self._producer.send(
                    self._topic,
                    self._framing + body,
                    key=key,
                    partition=partition_of(key, self._partitions),
                    headers=headers,
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
class Replay:
    """How records are read, chosen and judged. `schema_ids` is for `RawWrite` in Confluent's wire format."""

    file: ProducerFile
    chosen: Chosen
    schema_ids: Mapping[int, Schema]

    async def run(
        self, scan: Scan, target: EventsTopic | None, outcome: Outcome, advance: Callable[[int], object]
    ) -> None:
        """Judge every record of `scan` into `outcome` and publish the logins to `target`; None: only judge.

        `outcome` is right whenever it ends, also by an exception: what it calls a login, Kafka has.
        """
        interpret = interpreter(self.file)
        async for piece in scan.pieces():
            logins: list[tuple[Found, LoginEvent]] = []
            for record in piece:
                found = found_in(record, self.schema_ids)
                if self.chosen.takes(found) and (event := outcome.judge(found, interpret)) is not None:
                    logins.append((found, event))
            taken = await target.publish([event for _, event in logins]) if target else [True] * len(logins)
            for (found, _), published in zip(logins, taken, strict=True):
                if published:
                    outcome.share_of(found).logins += 1
                else:
                    outcome.refuse(found, "too_large", "Kafka takes no message of this size")
            advance(len(piece))


@asynccontextmanager
async def events_topic(settings: KafkaSettings, topic: str, file: ProducerFile) -> AsyncIterator[EventsTopic]:
    """Give the events topic to publish to. What Kafka raises inside becomes `Exit`.

    Raises `Exit` when the topic is missing or may not be written (78), or Kafka is away (69).
    """
    partitions = await partitions_of(settings, topic, "topics.events")
    compression = file.publisher.compression
    producer = AIOKafkaProducer(
        **client_options(settings, "lastlogin-replay"),
        acks="all",
        enable_idempotence=False,
        compression_type=None if compression == "none" else compression,
    )
    try:
        await producer.start()
        yield EventsTopic(
            producer, topic, len(partitions), prefix(LOGIN_EVENT, file.publisher.schema_ids.get("LoginEvent"))
        )
    except KafkaError as error:
        end = in_words(error, "", settings)
        raise (Exit(UNAVAILABLE, str(error)) if end is error else end) from None
    finally:
        await end_within(_STOP_S, producer.stop())
