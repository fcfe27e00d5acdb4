"""The metrics of the producer.

Nothing is pushed here while a login waits: a scrape reads counts that the server, the spool and the publisher have
anyway. Labels are closed sets and exist from the start, at 0; none ever names a user or an address.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from lastlogin_producer.clock import WatchedClock
from lastlogin_producer.dictproto import REFUSAL_REASONS
from lastlogin_producer.outbox import State
from lastlogin_producer.rules import DROP_REASONS
from lastlogin_producer.serving import CLOSE_REASONS, ServerStats
from lastlogin_producer.settings import SpoolSettings
from lastlogin_producer.spool import ASIDE_REASONS
from lastlogin_schemas.event import QUARANTINE_REASONS
from lastlogin_service.histogram import Histogram
from lastlogin_service.kafka import TopicSettings


PREFIX = "lastlogin_producer"

Label = TypeVar("Label", bound=str)


@dataclass(frozen=True, slots=True)
class Sources:
    """What a scrape reads. Without them everything is 0."""

    server: ServerStats = field(default_factory=ServerStats)
    connections: Callable[[], int] = int
    clock: WatchedClock = field(default_factory=WatchedClock)
    outbox: Callable[[], State] = State
    limits: SpoolSettings = field(default_factory=SpoolSettings)
    topics: TopicSettings = field(default_factory=TopicSettings)
    ready: Callable[[], bool] = bool
    now_s: Callable[[], float] = time.time


class ProducerMetrics(Collector):
    """Everything that the producer tells Prometheus, registered with `registry`."""

    def __init__(self, registry: CollectorRegistry, sources: Sources | None = None) -> None:
        self._sources = sources or Sources()
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Read all sources."""
        yield from self._host()
        yield from self._dict()
        yield from self._spool()
        yield from self._kafka()

    # Without it the registry knows none of our names: clashes go unnoticed, and `/metrics?name[]=` finds nothing.
    describe = collect

    def _host(self) -> Iterator[Metric]:
        yield _gauge(
            "ready", "Whether logins are taken on: 1 while /readyz answers 200, else 0.", self._sources.ready()
        )
        yield _gauge(
            "clock_seconds",
            "This host's clock when it is scraped, in seconds since 1970-01-01 UTC: clock_seconds - "
            "timestamp(clock_seconds) is how far it is ahead of Prometheus's.",
            self._sources.now_s(),
        )
        yield _counter(
            "clock_regressions",
            "Steps back of this host's clock, as seen between two logins.",
            self._sources.clock.steps_back,
        )

    def _dict(self) -> Iterator[Metric]:
        stats = self._sources.server
        yield _gauge("dict_connections", "Open connections of dict clients.", self._sources.connections())
        yield _counter("dict_connections_accepted", "Connections that dict clients have made.", stats.accepted)
        yield _counters(
            "dict_connections_closed",
            "Connections that the producer closed on its own, by reason; not those that clients closed.",
            "reason",
            CLOSE_REASONS,
            stats.closed,
        )
        yield _counter(
            "dict_socket_lost", "Times the socket file was found removed, or replaced by another.", stats.misplaced
        )
        yield _histograms(
            "dict_commit_reply_seconds",
            "Seconds from reading a commit to writing its reply, by what the reply said.",
            "reply",
            {outcome.name.lower(): durations for outcome, durations in stats.reply_seconds.items()},
        )
        yield _counters(
            "logins",
            "Logins that were answered as stored, by the service that is recorded: those of the delivered table and "
            "those that [dicts] and [[rules]] name have a value of their own.",
            "service",
            tuple(stats.logins),
            stats.logins,
        )
        yield _counters(
            "dict_refused",
            "Commands of dict clients that were answered with a failure or ignored, by reason.",
            "reason",
            REFUSAL_REASONS,
            stats.refused,
        )
        yield _counters(
            "quarantined",
            "Committed writes that are no logins and go to the quarantine topic, by reason.",
            "reason",
            QUARANTINE_REASONS,
            stats.quarantined,
        )
        yield _counters(
            "dropped",
            "Logins that a rule drops, answered as stored, by what that rule looks at.",
            "by",
            DROP_REASONS,
            stats.dropped,
        )

    def _spool(self) -> Iterator[Metric]:
        limits, levels = self._sources.limits, self._sources.outbox().spool
        yield _gauge("spool_rows", "Messages on disk that Kafka has not acknowledged.", levels.rows)
        yield _gauge("spool_bytes", "Bytes on disk of messages that Kafka has not acknowledged.", levels.bytes)
        yield _gauge(
            "spool_max_rows",
            "Messages that may wait for Kafka; with so many logins are refused (spool.max_rows).",
            limits.max_rows,
        )
        yield _gauge(
            "spool_max_bytes",
            "Bytes that messages for Kafka may take; with so many logins are refused (spool.max_bytes).",
            limits.max_bytes,
        )
        yield _gauge(
            "spool_used_ratio",
            "How full the spool is, by rows or by bytes, whichever is more: 0 to 1; at 1 logins are refused.",
            min(1.0, max(levels.rows / limits.max_rows, levels.bytes / limits.max_bytes)),
        )
        yield _gauge(
            "spool_oldest_age_seconds",
            "Seconds since the oldest message that waits for Kafka came in, 0 when none waits; up to 2 s behind.",
            levels.oldest_age_s,
        )
        yield _gauge(
            "spool_kept_rows", "Messages on disk that Kafka has, kept for sending them again.", levels.kept_rows
        )
        yield _gauge(
            "spool_kept_bytes",
            "Bytes on disk of messages that Kafka has; they do not count towards spool_max_bytes.",
            levels.kept_bytes,
        )
        set_aside = GaugeMetricFamily(
            f"{PREFIX}_spool_set_aside_rows",
            "Messages in the spool's table `aside`, which cannot be published, by reason.",
            labels=["reason"],
        )
        for reason in ASIDE_REASONS:
            set_aside.add_metric([reason], levels.set_aside.get(reason, 0))
        yield set_aside
        yield _counter("spool_resent_rows", "Kept messages that a resend let wait again.", levels.resent_rows)
        yield _histogram(
            "spool_sync_seconds",
            "Seconds that it took to write and fsync a batch of messages; its logins wait for that.",
            levels.syncs.seconds,
        )
        yield _histogram(
            "spool_sync_rows", "Messages that were made durable at once, with one fsync.", levels.syncs.rows
        )

    def _kafka(self) -> Iterator[Metric]:
        publishing, topics = self._sources.outbox().publishing, self._sources.topics
        yield _histograms(
            "kafka_publish_seconds",
            "Seconds from handing over a batch of messages to Kafka's acknowledgement, or to the error, by outcome.",
            "outcome",
            publishing.seconds,
        )
        yield _counters(
            "kafka_published",
            "Messages that Kafka acknowledged, by topic; one whose acknowledgement is lost counts when it is repeated.",
            "topic",
            tuple(dict.fromkeys((topics.events, topics.quarantine))),
            publishing.published,
        )
        yield _gauge(
            "kafka_in_flight_rows",
            "Messages read from the spool whose acknowledgement is awaited.",
            publishing.in_flight(),
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{PREFIX}_{name}", text, value)


def _counters(name: str, text: str, label: str, values: Sequence[Label], counts: Mapping[Label, int]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=[label])
    for value in values:
        family.add_metric([value], counts.get(value, 0))
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(f"{PREFIX}_{name}", text, buckets=histogram.buckets(), sum_value=histogram.total)


def _histograms(name: str, text: str, label: str, durations: Mapping[Label, Histogram]) -> Metric:
    family = HistogramMetricFamily(f"{PREFIX}_{name}", text, labels=[label])
    for value, own in durations.items():
        family.add_metric([value], own.buckets(), own.total)
    return family
