"""The parts of the consumer, and the order in which they start and end. Composition root."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from random import SystemRandom

import structlog
from aiokafka.errors import KafkaError

from lastlogin_consumer.assignment import Assignment
from lastlogin_consumer.dead_letters import DeadLetters
from lastlogin_consumer.decode import Decoder
from lastlogin_consumer.pipeline import Stages, Totals
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_consumer.source import REBALANCE_TIMEOUT_MS, Source
from lastlogin_consumer.table import open_table
from lastlogin_consumer.writer import Writer
from lastlogin_schemas.table import TableMapping
from lastlogin_service.backoff import Backoff
from lastlogin_service.kafka import client_options
from lastlogin_service.logs import Occasionally
from lastlogin_service.preflight import verdict
from lastlogin_service.topics import look_at_topics


NAME = "lastlogin-consumer"

# What is left of the rebalance timeout is for the commit and the way to the coordinator.
_REVOKE_DEADLINE_S = 0.7 * REBALANCE_TIMEOUT_MS / 1000
# Cassandra back after an outage is noticed within this, and an outage costs no CPU worth the name.
_RETRY_FIRST_S = 0.1
_RETRY_CAP_S = 5.0
# For each of: leaving the group, and disconnecting from Kafka and from Cassandra.
_DISCONNECT_DEADLINE_S = 3.0
_LOG_INTERVAL_S = 30.0

_log = structlog.get_logger(NAME)


class Consumer:
    """Events topic to table. `start`, then `work` until it is enough, then `finish`; `close` in any case."""

    def __init__(self, settings: ConsumerSettings) -> None:
        backoff = partial(Backoff, _RETRY_FIRST_S, _RETRY_CAP_S, SystemRandom())
        cassandra = settings.cassandra
        options = client_options(settings.kafka, NAME)
        self._settings = settings
        self._backoff = backoff
        self._totals = Totals()
        self._occasionally = Occasionally(_LOG_INTERVAL_S)
        self._writer = Writer(
            TableMapping(cassandra.keyspace, cassandra.table), partial(open_table, cassandra), backoff
        )
        self._dead_letters = DeadLetters(options, settings.topics.dead_letters, backoff)
        self._assignment = Assignment(
            Stages(
                Decoder(settings.schemas, settings.future_limit_s),
                self._writer,
                self._dead_letters,
                settings.limits,
                backoff,
                self._totals,
            ),
            _REVOKE_DEADLINE_S,
        )
        self._source = Source(options, settings.topics.events, settings.group, self._assignment)

    async def start(self) -> None:
        """Connect to everything, in an order that touches no data before all of it is there. Raises `Exit`."""
        await self._patiently(self._require_topics)
        await self._patiently(self._dead_letters.start)
        await self._writer.connect()
        await self._patiently(self._source.start)
        _log.info("Consuming", action="started", group=self._settings.group, topic=self._settings.topics.events)

    async def work(self) -> None:
        """Never return; raise what the source or a pipeline failed with."""
        source: asyncio.Future[None] = asyncio.ensure_future(self._source.run())
        try:
            ended, _ = await asyncio.wait({source, self._assignment.failed}, return_when=asyncio.FIRST_COMPLETED)
            ended.pop().result()
        finally:
            source.cancel()

    async def finish(self) -> None:
        """Fetch no more, write what has been fetched within the shutdown deadline, and commit it."""
        left = await self._assignment.close(self._settings.shutdown.deadline_s)
        await self._source.commit(_DISCONNECT_DEADLINE_S)
        _log.info("Stopped", action="stopped", unfinished=left, **asdict(self._totals))

    async def close(self) -> None:
        """Disconnect from everything, working or not. What still runs is abandoned; nothing more is committed."""
        await self._assignment.abandon()
        await asyncio.gather(
            self._source.stop(_DISCONNECT_DEADLINE_S),
            self._dead_letters.stop(_DISCONNECT_DEADLINE_S),
            self._writer.close(_DISCONNECT_DEADLINE_S),
        )

    async def _require_topics(self) -> None:
        topics = self._settings.topics
        # Without the dead-letter topic the first bad record would hold its partition: say so now.
        found = await look_at_topics(
            self._settings.kafka, {"events": topics.events, "dead_letters": topics.dead_letters}
        )
        for each in found:
            if each.code is None:
                _log.warning(each.sentence, action="topic_unchecked")
        if (end := verdict(found)) is not None:
            raise end

    async def _patiently(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat `step` while Kafka is away."""
        backoff = self._backoff()
        while True:
            try:
                return await step()
            except KafkaError as error:
                if (suppressed := self._occasionally.suppressed("kafka")) is not None:
                    _log.warning(
                        "Kafka cannot be used; waiting and trying again",
                        action="kafka_failing",
                        why=str(error) or type(error).__name__,
                        suppressed=suppressed,
                    )
            await asyncio.sleep(backoff.next())
