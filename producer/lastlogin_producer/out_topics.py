"""The topics that the publisher writes to: whether they exist, may be written to, and have the settings they need."""

import asyncio
from collections.abc import Mapping

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.metadata import MetadataRequest

from lastlogin_producer.spool import Spool
from lastlogin_service.exits import Exit
from lastlogin_service.kafka import KafkaSettings, TopicSettings
from lastlogin_service.logs import Occasionally
from lastlogin_service.topics import look_at_topics


_LOOK_UP_S = 2.0
# Settings hardly ever change, and each look is a connection of its own for each of a thousand backends.
_LOOK_AT_SETTINGS_S = 600.0

_log = structlog.get_logger(__name__)


class TopicsChanged(Exception):
    """A topic was found, has vanished, or has got more partitions: users belong to other lanes now."""


class OutTopics:
    """Looks after the topics of `topics` for as long as `producer` lives; both tasks run beside the publishing."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        kafka: KafkaSettings,
        topics: TopicSettings,
        spool: Spool,
        occasionally: Occasionally,
    ) -> None:
        self.events = topics.events
        self.quarantine = topics.quarantine
        self.some = asyncio.Event()
        self._client = producer.client
        self._kafka = kafka
        self._names = {"events": topics.events, "quarantine": topics.quarantine}
        self._spool = spool
        self._occasionally = occasionally
        self._missing = asyncio.Event()

    def partitions(self) -> dict[str, int]:
        """Number of partitions by topic, 0 for one that is not known to exist."""
        cluster = self._client.cluster
        return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in self._names.values()}

    def require(self, partitions: Mapping[str, int]) -> None:
        """Raise `TopicsChanged` when these are no longer the numbers of partitions."""
        now = self.partitions()
        if now != partitions:
            raise TopicsChanged
        if 0 in now.values():
            self._missing.set()

    async def look_up(self) -> None:
        """Keep asking for topics that do not exist, without making them. Raises `TopicsChanged` when one is found."""
        while True:
            before = self.partitions()
            missing = await self._look_up_missing([topic for topic, count in before.items() if not count])
            if self.partitions() != before:
                if not self.some.is_set():
                    self.some.set()
                else:
                    raise TopicsChanged
            if any(self.partitions().values()):
                self.some.set()
            if missing or 0 in self.partitions().values():
                await asyncio.sleep(_LOOK_UP_S)
            else:
                self._missing.clear()
                await self._missing.wait()

    async def _look_up_missing(self, unknown: list[str]) -> set[str]:
        if not unknown:
            return set()
        missing = set()
        # aiokafka's own look-up would make them where brokers allow that, without the settings they need.
        request = MetadataRequest(unknown, allow_auto_topic_creation=False)
        try:
            response = await self._client.send(self._client.get_random_node(), request)
        except KafkaError:
            # One broker must not end what works on the others.
            return set(unknown)
        for code, topic, *_ in response.topics:
            error = for_code(code)
            if error in (UnknownTopicOrPartitionError, TopicAuthorizationFailedError):
                missing.add(topic)
                self._tell_missing(topic, forbidden=error is TopicAuthorizationFailedError)
        found = [topic for topic in unknown if topic not in missing]
        for topic in found:
            self._client.add_topic(topic)
        if found:
            await self._client.force_metadata_update()
        return missing

    def _tell_missing(self, topic: str, *, forbidden: bool) -> None:
        suppressed = self._occasionally.suppressed(topic)
        if suppressed is not None:
            _log.error(
                f"This producer may not write to the topic {topic}: grant it Describe and Write"
                if forbidden
                else f"The topic {topic} does not exist: make it with `lastlogin topics apply`",
                action="topic_missing",
                topic=topic,
                rows=self._spool.rows_waiting,
                suppressed=suppressed,
            )

    async def look_at_settings(self) -> None:
        """Complain now and then of settings with which promises cannot be kept; nothing is held back for them."""
        while True:
            await self.some.wait()
            names = {key: topic for key, topic in self._names.items() if self.partitions()[topic]}
            try:
                findings = await look_at_topics(self._kafka, names)
            except (KafkaError, OSError, TimeoutError, Exit):
                # Whoever cannot be asked about settings is not in the way of messages.
                findings = []
            for finding in findings:
                suppressed = self._occasionally.suppressed(finding.sentence)
                if suppressed is not None:
                    tell = _log.info if finding.code is None else _log.warning
                    tell(finding.sentence, action="topic_settings", suppressed=suppressed)
            await asyncio.sleep(_LOOK_AT_SETTINGS_S)
