"""The dead-letter topic: records that cannot be used, with their bytes and why.

A dead letter has the record's own key, value and headers, and after them a `Story`. A record with neither key nor value
(aiokafka cannot send one) gets an empty value; its reason is `null_value`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from lastlogin_consumer.decode import Poison
from lastlogin_schemas.dead_letter import Story, letter_headers
from lastlogin_service.backoff import Backoff
from lastlogin_service.kafka_admin import abandon, start
from lastlogin_service.logs import Occasionally


# The broker's limit is on the compressed batch; what came through the events topic compressed must fit through
# here, too. Poison that unpacks to more than this holds its partition.
_MAX_REQUEST_BYTES = 64 * 1024 * 1024
# aiokafka waits for a topic's metadata without a bound of ours.
_SEND_TIMEOUT_S = 60.0
# Times request_timeout_ms. By then aiokafka itself has given up: a batch that was sent again just before it expired
# takes two, and one that waited behind it a third. Without an answer the client is stuck.
_SILENT_AFTER = 4
_STOP_DEADLINE_S = 5.0
_LOG_INTERVAL_S = 30.0

_log = structlog.get_logger(__name__)


class DeadLetters:
    """Sends poison to the topic and waits for the acknowledgement of all in-sync replicas."""

    sentence = "A record of no use was set aside"

    def __init__(self, options: Mapping[str, Any], topic: str, backoff: Callable[[], Backoff]) -> None:
        self._options = options
        self._topic = topic
        self._backoff = backoff
        self._silence_s = _SILENT_AFTER * options["request_timeout_ms"] / 1000
        self._occasionally = Occasionally(_LOG_INTERVAL_S)
        self._producer: Any = None
        self._replacing = asyncio.Lock()
        # Calls of `send` that have failed and try again.
        self._trying_again = 0
        self._why = ""

    @property
    def problem(self) -> str | None:
        """A sentence while we are not connected, or dead letters cannot be sent."""
        if self._producer is None:
            return "The client that sends dead letters is not connected to Kafka"
        return f"Dead letters cannot be sent to {self._topic}: {self._why}" if self._trying_again else None

    async def start(self) -> None:
        """Connect. Raises KafkaError; may then be called again."""
        producer = AIOKafkaProducer(
            **self._options,
            acks="all",
            # Repeats do no harm; an idempotent producer refuses for ever after a batch that has expired.
            enable_idempotence=False,
            compression_type="zstd",
            max_request_size=_MAX_REQUEST_BYTES,
        )
        try:
            await start(producer)
        except BaseException:  # a cancelled start leaves connections too; passed on
            await producer.stop()
            raise
        self._producer = producer

    async def send(self, poison: Sequence[Poison]) -> None:
        """Return when all of them are acknowledged, however long that takes. May be cancelled.

        Raises what the client's sender has died of, for then nothing will ever be acknowledged.
        """
        backoff = self._backoff()
        left = list(poison)
        failed = False
        try:
            while left:
                producer = self._producer
                left, error = await self._attempt(left)
                if error is not None:
                    if type(error) is KafkaError or not isinstance(error, KafkaError | TimeoutError):
                        # aiokafka's word for "my sender has died": only a new process will send again.
                        raise error
                    self._trying_again += not failed
                    failed = True
                    self._report(error, len(left))
                    if isinstance(error, TimeoutError):
                        await self._replace(producer, len(left))
                    await asyncio.sleep(backoff.next())
        finally:
            self._trying_again -= failed

    async def stop(self, deadline_s: float) -> None:
        """Disconnect."""
        if self._producer is not None:
            try:
                async with asyncio.timeout(deadline_s):
                    await self._producer.stop()
            except (KafkaError, TimeoutError) as error:
                _log.warning("Could not disconnect in time", action="stop_failed", error=type(error).__name__)

    async def _replace(self, silent: Any, records: int) -> None:
        """Let a new client take the place of a silent one; without success the next silence tries again."""
        async with self._replacing:
            # The letters of another partition may have been quicker.
            if self._producer is not silent:
                return
            try:
                await self.start()
            except KafkaError as error:
                self._report(error, records)
                return
        _log.warning("Kafka's client for dead letters did not answer; made a new one", action="clients_replaced")
        await abandon(silent, _STOP_DEADLINE_S)

    def _report(self, error: BaseException, records: int) -> None:
        self._why = type(error).__name__
        if (suppressed := self._occasionally.suppressed(self._why)) is not None:
            _log.error(
                "Dead letters cannot be sent; their partition waits. Does the topic exist, and may we write?",
                action="dead_letters_failing",
                topic=self._topic,
                records=records,
                error=self._why,
                suppressed=suppressed,
            )

    async def _attempt(self, poison: list[Poison]) -> tuple[list[Poison], BaseException | None]:
        """Send each of them once; return those that failed, and why."""
        sent: list[asyncio.Future[Any]] = []
        why: BaseException | None = None
        try:
            for letter in poison:
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    sent.append(await self._send(letter))
        except (KafkaError, TimeoutError) as error:
            why = error
        failed = poison[len(sent) :]
        if sent:
            await asyncio.wait(sent, timeout=self._silence_s)
        for letter, future in zip(poison, sent, strict=False):
            if not future.done():
                future.cancel()
                failed.append(letter)
                why = TimeoutError()
            elif (reason := future.exception()) is not None:
                failed.append(letter)
                why = why if isinstance(why, TimeoutError) else reason
        return failed, why

    async def _send(self, letter: Poison) -> asyncio.Future[Any]:
        record = letter.record
        future: asyncio.Future[Any] = await self._producer.send(
            self._topic,
            key=record.key,
            value=b"" if record.key is None and record.value is None else record.value,
            headers=letter_headers(
                record.headers, Story(letter.reason, record.topic, record.partition, record.offset, letter.detail)
            ),
        )
        return future
