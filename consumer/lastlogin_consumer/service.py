"""The parts of the consumer, and the order in which they start and end. Composition root."""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from time import monotonic
from typing import NoReturn

import structlog
from aiokafka.errors import KafkaConnectionError, KafkaError

from lastlogin_consumer.assignment import Assignment
from lastlogin_consumer.breaker import Breaker
from lastlogin_consumer.dead_letters import DeadLetters
from lastlogin_consumer.driver_pulse import DriverPulse
from lastlogin_consumer.metrics import PREFIX, ConsumerMetrics
from lastlogin_consumer.outage import Outage
from lastlogin_consumer.probe import a_leader_answers
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_consumer.source import REBALANCE_TIMEOUT_MS, Source
from lastlogin_consumer.stages import backoff, stages_of, writer_of
from lastlogin_consumer.watchdog import STANDSTILL_S, Watchdog
from lastlogin_service.counting import counted
from lastlogin_service.endpoint import Endpoint, new_registry
from lastlogin_service.exits import TEMPFAIL, Exit
from lastlogin_service.kafka import client_options
from lastlogin_service.kafka_admin import LastComplaint, in_words, last_complaint
from lastlogin_service.logs import Occasionally
from lastlogin_service.notify import Notifier, beat
from lastlogin_service.preflight import verdict
from lastlogin_service.tasks import cancel
from lastlogin_service.topics import look_at_topics


NAME = "lastlogin-consumer"

# What is left of the rebalance timeout is for the commit and the way to the coordinator.
_REVOKE_DEADLINE_S = 0.7 * REBALANCE_TIMEOUT_MS / 1000
# For each of: leaving the group, and disconnecting from Kafka and from Cassandra.
_DISCONNECT_DEADLINE_S = 3.0
# The driver's thread answers within milliseconds.
_DRIVER_DEAD_S = 60.0
_LOG_INTERVAL_S = 30.0

_log = structlog.get_logger(NAME)


class Consumer:
    """Events topic to table. `start`, then `work`, at any time enough: then `finish`; `close` in any case."""

    def __init__(self, settings: ConsumerSettings, notifier: Notifier) -> None:
        options = client_options(settings.kafka, NAME)
        self._settings = settings
        self._notifier = notifier
        self._beating: set[asyncio.Task[None]] = set()
        self._driver_pulse = DriverPulse()
        registry = new_registry(PREFIX, version("lastlogin"))
        self._metrics = ConsumerMetrics(registry, settings.linger_s)
        self._endpoint = Endpoint(settings.metrics, NAME, registry, live=self.not_live, ready=self.not_ready)
        self._occasionally = Occasionally(_LOG_INTERVAL_S)
        self._writer = writer_of(settings, self._metrics)
        self._dead_letters = DeadLetters(options, settings.topics.dead_letters, backoff)
        self._breaker = Breaker(on=settings.breaker)
        self._assignment = Assignment(
            stages_of(settings, self._writer, self._dead_letters, self._metrics, self._breaker), _REVOKE_DEADLINE_S
        )
        self._source = Source(
            options, settings.topics.events, settings.group, self._assignment, self._metrics.rebalance
        )
        self._metrics.watch(
            settings.topics.events,
            self._assignment.progress,
            lambda: not (self.not_live() or self.not_ready()),
            lambda: self._breaker.open_for(monotonic()) > 0,
        )
        self._standstill_limit_s = settings.linger_s + STANDSTILL_S
        self._watchdog = Watchdog(self._standstill_limit_s, self._standstill_s, self._kafka_answers)
        self._outage = Outage(lambda: self._source.unanswered or self._assignment.problem is not None, self._why_away)
        self._started = self._stopping = self._topics_checked = self._rebuilt = self._failed = False
        # What the step that `start` repeats has failed with.
        self._kafka_failure: str | None = None
        self._complaint: LastComplaint | None = None

    def not_live(self) -> list[str]:
        """Sentences for /livez: why only a restart helps."""
        problems = []
        if self._failed or self._assignment.failed.done():
            problems.append("Work has failed; the process ends")
        if self._driver_pulse.silent_s() > _DRIVER_DEAD_S:
            problems.append(f"The thread of Cassandra's driver has done nothing for more than {_DRIVER_DEAD_S:.0f} s")
        return problems

    def not_ready(self) -> list[str]:
        """Sentences for /readyz: what keeps us from writing; during the start the first of it, the rest follows."""
        problems = (
            "Stopping" if self._stopping else None,
            f"Kafka cannot be used: {self._kafka_failure}" if self._kafka_failure else None,
            None if self._topics_checked else "Kafka has not told yet whether the topics exist",
            self._dead_letters.problem,
            "Most records are bad; none is set aside for a while" if self._breaker.open_for(monotonic()) else None,
            self._writer.problem,
            self._source.problem,
            self._assignment.problem,
        )
        told = [problem for problem in problems if problem is not None]
        return told if self._started else told[:1]

    def status(self) -> str:
        """One line for people who ask the service manager."""
        ours = self._assignment.progress().values()
        lags = [each.lag for each in ours if each.lag is not None]
        records = sum(lag.records for lag in lags)
        waiting = counted(records, "record waits", "records wait")
        waiting = f"{counted(len(ours), 'partition')}, {waiting}" if ours else "no partitions"
        if records:
            waiting += f", the oldest for {max(lag.seconds for lag in lags):.0f} s"
        held = [f"{counted(held, 'partition')} held"] if (held := sum(each.held for each in ours)) else []
        return "; ".join([*self.not_live(), *self.not_ready(), *held, waiting])

    async def start(self) -> None:
        """Connect to everything, in an order that touches no data before all of it is there. Raises `Exit`.

        The endpoint comes first, so that whoever looks sees what the rest waits for. The group comes last: who
        cannot write must not take partitions from those who can.

        To the service manager it is ready with the endpoint: what it then waits for may be away for hours.
        """
        await self._endpoint.start()
        self._notifier.ready()
        if self._notifier.heard:
            self._beating.add(asyncio.create_task(beat(self._notifier, self.not_live, self.status)))
        await self._patiently(self._require_topics)
        await self._patiently(self._dead_letters.start)
        await self._writer.connect()
        await self._patiently(self._source.start)
        self._started = True
        _log.info("Consuming", action="started", group=self._settings.group, topic=self._settings.topics.events)

    async def work(self) -> None:
        """Never return; raise what the source or a pipeline failed with, and `Exit` when new clients did not help."""
        try:
            await self._work()
        except Exception:
            self._failed = True
            # From here on the service manager waits for the end, however it goes.
            self._notifier.stopping()
            raise

    async def _work(self) -> NoReturn:
        while True:
            fetched = self._metrics.totals.fetched
            source: asyncio.Task[None] = asyncio.create_task(self._source.run())
            watchdog = asyncio.create_task(self._watchdog.run())
            outage: asyncio.Task[None] = asyncio.create_task(self._outage.run())
            try:
                ends: set[asyncio.Future[None]] = {source, watchdog, outage, self._assignment.failed, *self._beating}
                with last_complaint("Unable connect") as self._complaint:
                    ended, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                for each in ended:
                    each.result()
            finally:
                await cancel([source, watchdog, outage])
            if self._rebuilt and fetched == self._metrics.totals.fetched:
                raise Exit(TEMPFAIL, "nothing is done although Kafka answers, also with new clients; start me anew")
            await self._rebuild()

    async def _rebuild(self) -> None:
        """Let new Kafka clients take the place of those that are stuck."""
        self._rebuilt = True
        _log.error("Work stands still although Kafka answers; making new clients", action="clients_replaced")
        await self._assignment.finish(0)
        await asyncio.gather(self._source.stop(_DISCONNECT_DEADLINE_S), self._dead_letters.stop(_DISCONNECT_DEADLINE_S))
        await self._patiently(self._dead_letters.start)
        await self._patiently(self._source.start)

    def _why_away(self) -> str:
        """What aiokafka has complained of last: it raises nothing while it works."""
        complaint = self._complaint.taken() if self._complaint is not None else ""
        return in_words(KafkaConnectionError("no answer"), complaint, self._settings.kafka).message

    def _standstill_s(self) -> float:
        return max(self._assignment.standstill_s, self._source.outside_s)

    async def _kafka_answers(self) -> bool:
        standing_still = self._assignment.standing_still(self._standstill_limit_s)
        options = client_options(self._settings.kafka, f"{NAME}-probe")
        return await a_leader_answers(options, self._settings.topics.events, standing_still)

    async def finish(self) -> None:
        """Fetch no more, write what has been fetched within the shutdown deadline, and commit it."""
        self._stopping = True
        self._notifier.stopping()
        left = await self._assignment.close(self._settings.shutdown.deadline_s)
        await self._source.commit(_DISCONNECT_DEADLINE_S)
        _log.info("Stopped", action="stopped", unfinished=left, **self._metrics.totals.summary())

    async def close(self) -> None:
        """Disconnect from everything, working or not. What still runs is abandoned; nothing more is committed."""
        await self._assignment.abandon()
        await asyncio.gather(
            self._source.stop(_DISCONNECT_DEADLINE_S),
            self._dead_letters.stop(_DISCONNECT_DEADLINE_S),
            self._writer.close(_DISCONNECT_DEADLINE_S),
        )
        await self._endpoint.stop()
        await cancel(self._beating)
        self._notifier.close()

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
        self._topics_checked = True

    async def _patiently(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat `step` while Kafka is away."""
        pauses = backoff()
        while True:
            try:
                with last_complaint() as complaint:
                    await step()
                self._kafka_failure = None
                return
            except KafkaError as error:
                self._kafka_failure = in_words(error, complaint.text, self._settings.kafka).message
                if (suppressed := self._occasionally.suppressed("kafka")) is not None:
                    _log.warning(
                        "Kafka cannot be used; waiting and trying again",
                        action="kafka_failing",
                        why=self._kafka_failure,
                        suppressed=suppressed,
                    )
            await asyncio.sleep(pauses.next())
