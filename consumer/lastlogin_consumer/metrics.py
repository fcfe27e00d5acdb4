"""What the consumer tells Prometheus.

The numbers are plain ones that the pipelines add to, a window or a request at a time, and that are read when
somebody scrapes: one truth, and next to no cost for each row. No label says anything of a user or an address.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from lastlogin_consumer.decode import POISON_REASONS, PoisonReason
from lastlogin_consumer.lag import Progress
from lastlogin_service.histogram import Histogram


PREFIX = "lastlogin_consumer"

# What became of a request: it may have been written all the same when it timed out or failed.
Outcome: TypeAlias = Literal["acknowledged", "timed_out", "refused", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

# A quorum in one data centre takes 1 to 5 ms; nodes give up after 2 s (10 s in newer versions), we after 12 s.
_WRITE_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)
# A row is promised within a second at the default linger of 0.2 s; after that an outage (minutes), a drained
# spool or backlog (hours), and more than a day.
_END_TO_END_BOUNDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600)
# One row on a quiet night; the default window.max_records is 50,000.
_ROWS_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)

# A quiet group needs some heartbeats (3 s), one with windows to write up to the rebalance timeout of 60 s.
_REBALANCE_BOUNDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
# Of the service level: a row is late when it comes so long after its login, beside linger_s.
LATE_S = 5.0

# Metric, attribute of `Totals`, HELP.
_COUNTERS = (
    ("events", "fetched", "Records fetched from the events topic; once more when they are read again."),
    ("rows_written", "written", "Rows that Cassandra has acknowledged."),
    (
        "late_rows",
        "late",
        f"Rows acknowledged more than {LATE_S:.0f} s and linger_s after the login, by the mail host's clock.",
    ),
    ("cassandra_retries", "retries", "Write requests to Cassandra whose rows were sent again, whole or in halves."),
    (
        "deduplicated",
        "merged",
        "Logins not written because a newer one of the same user and service was in the window.",
    ),
    ("unmapped", "unmapped", "Logins skipped because the table has no column for their service."),
    ("expired", "expired", "Logins not written because they are older than ttl_s."),
    ("unchecked", "unchecked", "Logins that came without a checksum; they are written."),
    (
        "offsets_lost",
        "lost",
        (
            "Records that Kafka had deleted before they were read: their logins are lost, except for some that were "
            "written already, when Cassandra had refused others of their window."
        ),
    ),
)


@dataclass(slots=True)
class Totals:
    """What became of all records: each is in exactly one of written, merged, unmapped, expired, set aside.

    It is, once its window is written.
    """

    fetched: int = 0
    written: int = 0
    late: int = 0
    retries: int = 0
    merged: int = 0
    unmapped: int = 0
    expired: int = 0
    set_aside: Counter[PoisonReason] = field(default_factory=Counter)
    unchecked: int = 0
    lost: int = 0

    def summary(self) -> dict[str, int]:
        """All of it, for the log."""
        numbers = {name: getattr(self, name) for _, name, _ in _COUNTERS}
        return numbers | {"set_aside": self.set_aside.total()}


class ConsumerMetrics(Collector):
    """All metrics of the consumer except `build_info` and those of its process (`endpoint.new_registry`)."""

    def __init__(self, registry: CollectorRegistry, linger_s: float = 0.0) -> None:
        self._linger_s = linger_s
        # Age at which a row that is acknowledged counts as late.
        self.late_after_s = LATE_S + linger_s
        self.totals = Totals()
        self.batch_rows = Histogram(_ROWS_BOUNDS)
        self.end_to_end = Histogram(_END_TO_END_BOUNDS)
        self.cassandra_write: Mapping[Outcome, Histogram] = {outcome: Histogram(_WRITE_BOUNDS) for outcome in OUTCOMES}
        self.rebalance = Histogram(_REBALANCE_BOUNDS)
        self._topic = ""
        self._progress: Callable[[], Mapping[int, Progress]] = dict
        self._ready: Callable[[], bool] = bool
        self._breaker_open: Callable[[], bool] = bool
        registry.register(self)

    def watch(
        self,
        topic: str,
        progress: Callable[[], Mapping[int, Progress]],
        ready: Callable[[], bool],
        breaker_open: Callable[[], bool],
    ) -> None:
        """From now on tell of the partitions of `topic` that are assigned, whether we are ready, and so on."""
        self._topic = topic
        self._progress = progress
        self._ready = ready
        self._breaker_open = breaker_open

    def collect(self) -> Iterator[Metric]:
        """Read all numbers; asked by the registry."""
        yield from self._states()
        yield from self._partitions()
        yield from self._counters()
        yield _histogram(
            "batch_rows", "Rows of a window, written together; windows without rows are not counted.", self.batch_rows
        )
        yield _histogram(
            "end_to_end_seconds",
            "From the login, by the mail host's clock, to the acknowledgement of its row; 0 when that clock is ahead.",
            self.end_to_end,
        )
        yield _histogram(
            "rebalance_seconds",
            "From the revocation of our partitions to the next assignment: nothing is read meanwhile.",
            self.rebalance,
        )
        writes = HistogramMetricFamily(
            f"{PREFIX}_cassandra_write_seconds",
            "A write request to Cassandra, by what became of it: acknowledged; timed_out at a node or here; refused "
            "by a node; failed, as when no node is there. All but the first are repeated, except for rows that are "
            "set aside.",
            labels=["outcome"],
        )
        for outcome, histogram in self.cassandra_write.items():
            writes.add_metric([outcome], histogram.buckets(), histogram.total)
        yield writes

    # The registry asks for the names, too, for `/metrics?name[]=`.
    describe = collect

    def _states(self) -> Iterator[Metric]:
        yield _gauge(
            "ready",
            "1 while /readyz answers 200, else 0: also tells of an outage at the start, when no partition is ours yet.",
            self._ready(),
        )
        yield _gauge(
            "breaker_open",
            "1 while no record is set aside, because most of the last minute's were bad.",
            self._breaker_open(),
        )
        yield _gauge("linger_seconds", "How long a login may wait for a newer one (linger_s).", self._linger_s)

    def _partitions(self) -> Iterator[Metric]:
        progress = self._progress()
        yield _gauge(
            "assigned_partitions", "Partitions that are ours; a member that stands by has none.", len(progress)
        )
        records = _gauge_by_partition(
            "lag_records",
            "Records of an assigned partition that are neither written nor set aside: its end, asked for every few "
            "seconds, less the offset up to which all is done. While Kafka is away: as last known.",
        )
        seconds = _gauge_by_partition(
            "lag_seconds",
            "Age of the oldest record of an assigned partition that is neither written nor set aside, by Kafka's "
            "append time; 0 when caught up. Of a record that cannot be fetched: since the record before it, or at "
            "least since it was first seen.",
        )
        watermark = _gauge_by_partition(
            "watermark_offset", "Offset of an assigned partition up to which all is written or set aside."
        )
        held = _gauge_by_partition(
            "partition_held",
            "1 while an assigned partition cannot be read on; why is in the log (partition_held). Else 0.",
        )
        for partition, (lag, done, is_held) in sorted(progress.items()):
            labels = [self._topic, str(partition)]
            held.add_metric(labels, is_held)
            if done is not None:
                watermark.add_metric(labels, done)
            if lag is not None:
                records.add_metric(labels, lag.records)
                seconds.add_metric(labels, lag.seconds)
        yield from (records, seconds, watermark, held)

    def _counters(self) -> Iterator[Metric]:
        for name, attribute, text in _COUNTERS:
            yield CounterMetricFamily(f"{PREFIX}_{name}", text, getattr(self.totals, attribute))
        letters = CounterMetricFamily(
            f"{PREFIX}_dead_letters",
            "Records set aside in the dead-letter topic, by why they could not be used.",
            labels=["reason"],
        )
        for reason in POISON_REASONS:
            letters.add_metric([reason], self.totals.set_aside[reason])
        yield letters


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value)


def _gauge_by_partition(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=["topic", "partition"])


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(f"{PREFIX}_{name}", text, buckets=histogram.buckets(), sum_value=histogram.total)
