"""The way from the spool to Kafka: a producer object for as long as it works, then a new one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from lastlogin_producer.delivery import Delivery
from lastlogin_producer.out_topics import OutTopics
from lastlogin_producer.publish_stats import PublishStats
from lastlogin_producer.records import RecordForm
from lastlogin_producer.session import Session
from lastlogin_producer.settings import PublisherSettings
from lastlogin_producer.spool import Spool, SpoolFault
from lastlogin_service.backoff import Backoff
from lastlogin_service.exits import Exit
from lastlogin_service.kafka import KafkaSettings, TopicSettings, client_options
from lastlogin_service.kafka_admin import abandon, in_words, last_complaint, start
from lastlogin_service.logs import Occasionally
from lastlogin_service.tasks import cancel


# Above it a batch only grows the time that one lost acknowledgement costs; a quarter of max.message.bytes (1 MiB).
_BATCH_BYTES = 262_144
_RECONNECT_FIRST_S = 0.2
_RECONNECT_CAP_S = 5.0
# aiokafka asks for metadata at this pace while a broker is away; the default is 100 ms.
_RETRY_BACKOFF_MS = 250
_REPEAT_LOG_S = 60.0
_LOOK_AGAIN_S = 0.25
# A silent broker would hold a stop for as long as a request may take; what it does not answer is sent again.
_STOP_S = 1.0

_log = structlog.get_logger(__name__)


class Publisher:
    """Publishes what the spool holds; `run` is a task for the life of the service. `stats` is live, not a copy."""

    def __init__(
        self, spool: Spool, kafka: KafkaSettings, topics: TopicSettings, settings: PublisherSettings, rng: Random
    ) -> None:
        self.stats = PublishStats()
        self._spool = spool
        self._kafka = kafka
        self._topics = topics
        self._settings = settings
        self._rng = rng
        self._backoff = Backoff(_RECONNECT_FIRST_S, _RECONNECT_CAP_S, rng)
        self._occasionally = Occasionally(_REPEAT_LOG_S)
        self._progress = asyncio.Event()
        self._away = self._told_away = False

    @property
    def away(self) -> bool:
        """Whether Kafka could not be reached at the last attempt."""
        return self._away

    async def run(self) -> None:
        """Publish until cancelled, whatever happens to Kafka."""
        form = RecordForm(self._spool.backend, self._spool.epoch, dict(self._settings.schema_ids.items()))
        while True:
            try:
                async with self._producer() as producer:
                    await self._publish(producer, form)
            except* Exception as group:  # noqa: BLE001 - logins must be taken on whatever happens here
                self._lost(_first(group))
            self.stats.in_flight = int
            await asyncio.sleep(self._backoff.next())

    async def _publish(self, producer: AIOKafkaProducer, form: RecordForm) -> None:
        """One session after the other. Raises an exception group when the producer is of no more use."""
        common: dict[str, Any] = {"spool": self._spool, "occasionally": self._occasionally, "stats": self.stats}
        topics = OutTopics(producer, self._kafka, self._topics, self._spool, self._occasionally)
        delivery = Delivery(producer, form=form, acknowledged=self._acknowledged, **common)
        looking = asyncio.create_task(topics.look_at_settings())
        try:
            while True:
                timeout_s = self._kafka.request_timeout_ms / 1000
                await Session(producer, delivery, topics, rng=self._rng, request_timeout_s=timeout_s, **common).run()
        finally:
            await cancel([looking])

    async def drain(self) -> None:
        """Wait until Kafka has everything; at once when it does not answer anyway."""
        while self._spool.rows_waiting and not self._away:
            self._progress.clear()
            # Rows may also be set aside, which is no progress of Kafka's.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self._progress.wait()

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[AIOKafkaProducer]:
        compression = self._settings.compression
        producer = AIOKafkaProducer(
            **client_options(self._kafka, f"lastlogin-producer-{self._spool.backend}"),
            acks="all",
            # An expired batch would leave a hole in its sequence numbers that brokers refuse to pass over.
            enable_idempotence=False,
            compression_type=None if compression == "none" else compression,
            max_batch_size=_BATCH_BYTES,
            retry_backoff_ms=_RETRY_BACKOFF_MS,
        )
        # Each error comes to us at once: while aiokafka tries a batch again it sends nothing else to that broker.
        producer._message_accumulator._batch_ttl = 0.0  # noqa: SLF001 - else it is the request's timeout
        try:
            with last_complaint() as complaint:
                try:
                    await start(producer)
                except KafkaError as error:
                    raise in_words(error, complaint.text, self._kafka) from error
            yield producer
        finally:
            # What it still has is in the spool.
            await abandon(producer, _STOP_S)

    def _acknowledged(self) -> None:
        self._backoff.reset()
        self._progress.set()
        self._away = False
        if self._told_away:
            self._told_away = False
            _log.info(
                f"Kafka is back; {self._spool.rows_waiting} messages wait in the spool",
                action="kafka_back",
                rows=self._spool.rows_waiting,
            )

    def _lost(self, error: Exception) -> None:
        self._away = True
        self._progress.set()
        # A refusal needs a person: it is told though Kafka was only silent, or refused nothing, a moment ago.
        suppressed = self._occasionally.suppressed(("kafka_away", error.code if isinstance(error, Exit) else None))
        if suppressed is None:
            return
        self._told_away = True
        expected = isinstance(error, KafkaError | OSError | TimeoutError | SpoolFault | Exit)
        _log.error(
            f"Cannot publish, messages wait in the spool: {error}",
            action="kafka_away",
            rows=self._spool.rows_waiting,
            suppressed=suppressed,
            exc_info=None if expected else error,
        )


def _first(group: BaseExceptionGroup[BaseException]) -> Exception:
    """Find what a group is about: its first exception."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else RuntimeError(repr(error))
