"""The consumer as a process of its own, on topics of a test's own."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypeVar
from uuid import uuid4

from prometheus_client.parser import text_string_to_metric_families

from lastlogin_stack.layout import Layout
from tests.support.process import ServiceProcess
from tests.support.topics import Topics


Service = TypeVar("Service", bound=ServiceProcess)


class TopicNames(Protocol):
    """Where events come from and dead letters go."""

    @property
    def events(self) -> str:
        """The topic of events."""

    @property
    def dead_letters(self) -> str:
        """The topic of dead letters."""


def consumer_variables(layout: Layout, topics: TopicNames) -> dict[str, str]:
    """Settings of a consumer of `topics`, as variables without their prefix."""
    return {
        "KAFKA__BOOTSTRAP_SERVERS": layout.kafka_bootstrap,
        "TOPICS__EVENTS": topics.events,
        "TOPICS__DEAD_LETTERS": topics.dead_letters,
        "CASSANDRA__CONTACT_POINTS": layout.cassandra_address,
        "CASSANDRA__PORT": str(layout.cassandra_port),
        "METRICS__PORT": "0",
        "LOG__FORMAT": "json",
    }


class ConsumerProcess(ServiceProcess):
    """`lastlogin-consumer` with settings from the environment."""

    def __init__(self, layout: Layout, topics: Topics, directory: Path, **settings: str) -> None:
        self.group = topics.events
        own = consumer_variables(layout, topics)
        own |= {"GROUP": self.group, "KAFKA__BOOTSTRAP_SERVERS": topics.servers} | settings
        super().__init__("lastlogin-consumer", directory / f"consumer-{uuid4().hex[:8]}.log", own)

    def scrape(self) -> dict[str, float]:
        """Its own samples as they are scraped, by name without the prefix and labels: `lag_records{partition=0}`.

        The label `topic` is left out: a test has one.
        """
        samples = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                labels = ",".join(f"{name}={value}" for name, value in sample.labels.items() if name != "topic")
                name = sample.name.removeprefix("lastlogin_consumer_")
                samples[f"{name}{{{labels}}}" if labels else name] = sample.value
        return samples

    def lag(self) -> tuple[float, float]:
        """Records over all its partitions, and the highest seconds; -1 while it has no series."""
        samples = self.scrape().items()
        records = [value for name, value in samples if name.startswith("lag_records")]
        seconds = [value for name, value in samples if name.startswith("lag_seconds")]
        return sum(records) if records else -1, max(seconds, default=-1)

    def partitions(self) -> list[int]:
        """Partitions that it has been given last."""
        lines = [line for action in ("assigned", "revoked") for line in self.said(action)]
        last = max(lines, key=lambda line: str(line["timestamp"]), default=None)
        return list(last["partitions"]) if last is not None and last["action"] == "assigned" else []


def short_lived_member(layout: Layout, topics: Topics, directory: Path, **settings: str) -> ConsumerProcess:
    """A consumer that Kafka counts as gone 8 s after its last heartbeat, not 30."""
    # Brokers allow no less than 6 s (group.min.session.timeout.ms); aiokafka's heartbeats are 3 s apart.
    constants = {"lastlogin_consumer.source:SESSION_TIMEOUT_MS": 8_000}
    return with_constants(ConsumerProcess(layout, topics, directory, **settings), constants)


def with_constants(service: Service, constants: Mapping[str, int]) -> Service:
    """A service, to be started with other constants, named `module:NAME`."""
    # -P: in this directory are modules with names of the standard library's.
    program = [sys.executable, "-P", str(Path(__file__).with_name("with_constants.py"))]
    service.starter = [*program, *(f"{name}={number}" for name, number in constants.items()), "--"]
    return service
