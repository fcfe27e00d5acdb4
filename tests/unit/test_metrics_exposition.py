"""What both services expose to Prometheus, as Prometheus's own tool judges it."""

import os
import subprocess
from collections.abc import Callable
from functools import partial

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from lastlogin_consumer.lag import Lag
from lastlogin_consumer.metrics import PREFIX as CONSUMER
from lastlogin_consumer.metrics import ConsumerMetrics
from lastlogin_producer.dictproto import REFUSAL_REASONS
from lastlogin_producer.metrics import PREFIX as PRODUCER
from lastlogin_producer.metrics import ProducerMetrics, Sources
from lastlogin_producer.outbox import SpoolLevels, State
from lastlogin_producer.outcome import Outcome
from lastlogin_producer.serving import CLOSE_REASONS
from lastlogin_schemas.event import QUARANTINE_REASONS
from lastlogin_service.endpoint import new_registry
from lastlogin_service.histogram import Histogram


def _producer(sources: Sources | None = None) -> CollectorRegistry:
    """Everything that a producer exposes, its second process included."""
    registry = new_registry(PRODUCER, "1.2.3")
    ProducerMetrics(registry, sources)
    ProcessCollector(f"{PRODUCER}_outbox", pid=os.getpid, registry=registry)
    return registry


def _busy_producer(logins: int, connections: int) -> CollectorRegistry:
    """The same, after so much of everything."""
    state = State(SpoolLevels(logins, 200 * logins, 12.5, set_aside={"damaged": 1}))
    sources = Sources(connections=lambda: connections, outbox=lambda: state)
    for number in range(logins):
        sources.server.answered(f"service-{number}", Outcome.STORED, number / 1_000)
        sources.server.quarantined[f"user-{number}@example.org"] += 1
    for reason in CLOSE_REASONS:
        sources.server.closed[reason] += 1
    for refusal in REFUSAL_REASONS:
        sources.server.refused[refusal] += 1
    for reason in QUARANTINE_REASONS:
        sources.server.quarantined[reason] += 1
    state.publishing.published[sources.topics.events] += logins
    state.publishing.seconds["failed"].observe(20.0)
    state.spool.syncs.seconds.observe(0.002)
    state.spool.syncs.rows.observe(logins)
    return _producer(sources)


def _busy_consumer() -> CollectorRegistry:
    registry = new_registry(CONSUMER, "1.2.3")
    metrics = ConsumerMetrics(registry)
    metrics.watch("lastlogin.events", lambda: {0: Lag(4, 1.5), 11: Lag(0, 0.0)}, lambda: True, lambda: False)
    metrics.totals.written += 3
    metrics.totals.set_aside["future"] += 1
    for each in vars(metrics).values():
        for histogram in each.values() if isinstance(each, dict) else [each]:
            if isinstance(histogram, Histogram):
                histogram.observe(0.3)
    return registry


@pytest.mark.parametrize(
    "registry_of",
    [_producer, partial(_busy_producer, 1_000, 10), _busy_consumer],
    ids=["idle producer", "producer", "consumer"],
)
def test_promtool_finds_nothing_wrong(registry_of: Callable[[], CollectorRegistry]) -> None:
    """Names, units, HELP and types are as Prometheus wants them: `promtool check metrics` says nothing at all."""
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=generate_latest(registry_of()), check=False, capture_output=True
    )

    assert (0, b"", b"") == (checked.returncode, checked.stdout, checked.stderr)


def _series(registry: CollectorRegistry) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))) for each in registry.collect() for sample in each.samples
    }


def test_series_of_a_producer() -> None:
    """Fewer than 300, and the same ones whatever comes in: users, services and connections make none."""
    idle = _series(_producer())

    assert len(idle) < 300
    assert idle == _series(_busy_producer(1, 1)) == _series(_busy_producer(2_000, 4_096))
