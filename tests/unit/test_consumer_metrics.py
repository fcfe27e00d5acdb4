"""What a scrape of the consumer shows."""

import re

import cassandra
import pytest
from cassandra.cluster import NoHostAvailable
from cassandra.protocol import OverloadedErrorMessage
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from lastlogin_consumer.decode import POISON_REASONS
from lastlogin_consumer.lag import Lag, Progress
from lastlogin_consumer.metrics import OUTCOMES, ConsumerMetrics, Outcome
from lastlogin_consumer.outcome import outcome_of
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_service.endpoint import new_registry
from tests.support.bench import Bench
from tests.support.logins import event_record, login
from tests.support.memory import until


# By name: a rename breaks whoever queries them; counters with their ending.
NAMES = {
    "lag_records",
    "lag_seconds",
    "end_to_end_seconds",
    "cassandra_write_seconds",
    "batch_rows",
    "events_total",
    "rows_written_total",
    "deduplicated_total",
    "unmapped_total",
    "expired_total",
    "unchecked_total",
    "dead_letters_total",
    "offsets_lost_total",
    "assigned_partitions",
    "breaker_open",
    "ready",
    "watermark_offset",
    "partition_held",
    "linger_seconds",
    "late_rows_total",
    "cassandra_retries_total",
    "rebalance_seconds",
}


@pytest.fixture
def registry() -> CollectorRegistry:
    """An empty registry."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> ConsumerMetrics:
    """Metrics in that registry."""
    return ConsumerMetrics(registry)


def _value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"lastlogin_consumer_{name}", labels)


def test_every_metric_is_there_from_the_beginning(registry: CollectorRegistry, metrics: ConsumerMetrics) -> None:
    """With a registry and nothing else, each has its agreed name and a HELP that is a sentence; all are 0."""
    families = list(registry.collect())
    ending = {"counter": "_total"}

    assert {f"lastlogin_consumer_{name}" for name in NAMES} == {
        family.name + ending.get(family.type, "") for family in families
    }
    assert all(re.fullmatch(r"[A-Z0-9].{20,}\.", family.documentation) for family in families)
    assert {0.0} == {sample.value for family in families for sample in family.samples}


def test_names_follow_the_rules(registry: CollectorRegistry, metrics: ConsumerMetrics) -> None:
    """Histograms are in a base unit or count things; nothing but a counter ends in _total."""
    for family in registry.collect():
        assert re.fullmatch(r"lastlogin_consumer_[a-z]+(_[a-z]+)*", family.name)
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_ms", "_milliseconds"))
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_rows"))


def test_closed_labels_start_at_zero(registry: CollectorRegistry, metrics: ConsumerMetrics) -> None:
    """Every reason and every outcome is there before it has happened, so that the first one is an increase."""
    assert {0.0} == {_value(registry, "dead_letters_total", reason=reason) for reason in POISON_REASONS}
    assert {0.0} == {_value(registry, "cassandra_write_seconds_count", outcome=outcome) for outcome in OUTCOMES}


def test_totals_are_what_is_scraped(registry: CollectorRegistry, metrics: ConsumerMetrics) -> None:
    """The pipelines' own numbers show, each under its name."""
    totals = metrics.totals
    totals.fetched, totals.written, totals.merged = 70, 3, 5
    totals.unmapped, totals.expired, totals.unchecked, totals.lost = 7, 9, 11, 13
    totals.late, totals.retries = 2, 17
    totals.set_aside.update(["future", "future"])

    shown = (
        "events", "rows_written", "deduplicated", "unmapped", "expired", "unchecked", "offsets_lost", "late_rows",
        "cassandra_retries",
    )  # fmt: skip
    assert [70, 3, 5, 7, 9, 11, 13, 2, 17] == [_value(registry, f"{name}_total") for name in shown]
    assert 2 == _value(registry, "dead_letters_total", reason="future")
    assert {
        "fetched": 70, "written": 3, "merged": 5, "unmapped": 7, "expired": 9, "unchecked": 11, "lost": 13,
        "set_aside": 2, "late": 2, "retries": 17,
    } == totals.summary()  # fmt: skip


def test_the_partitions_that_are_ours(registry: CollectorRegistry, metrics: ConsumerMetrics) -> None:
    """A series for each assigned partition, as far as it is known; with the partition it goes."""
    ours = {
        0: Progress(Lag(4, 1.5), 12, held=True),
        11: Progress(Lag(0, 0.0), 0, held=False),
        12: Progress(None, None, held=True),
    }
    metrics.watch("events", lambda: ours, lambda: True, lambda: False)

    assert (3.0, 1.0) == (_value(registry, "assigned_partitions"), _value(registry, "ready"))
    assert 4.0 == _value(registry, "lag_records", topic="events", partition="0")
    assert 1.5 == _value(registry, "lag_seconds", topic="events", partition="0")
    assert 0.0 == _value(registry, "lag_seconds", topic="events", partition="11")
    assert None is _value(registry, "lag_records", topic="events", partition="12")
    by_partition = {
        name: [_value(registry, name, topic="events", partition=str(number)) for number in ours]
        for name in ("watermark_offset", "partition_held")
    }
    assert {"watermark_offset": [12, 0, None], "partition_held": [1, 0, 1]} == by_partition
    del ours[0]
    for name in ("lag_records", "lag_seconds", "watermark_offset", "partition_held"):
        assert None is _value(registry, name, topic="events", partition="0")
    assert 2.0 == _value(registry, "assigned_partitions")


def test_a_scrape_is_valid_text(registry: CollectorRegistry, metrics: ConsumerMetrics) -> None:
    """Prometheus' own parser reads back what was observed."""
    metrics.end_to_end.observe(0.3)
    metrics.cassandra_write["timed_out"].observe(12.0)
    metrics.batch_rows.observe(50)
    text = generate_latest(registry).decode()
    samples = {
        (sample.name.removeprefix("lastlogin_consumer_"), *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    assert 1.0 == samples["end_to_end_seconds_bucket", ("le", "0.5")]
    assert 0.0 == samples["end_to_end_seconds_bucket", ("le", "0.25")]
    assert 0.3 == samples["end_to_end_seconds_sum",]
    assert 1.0 == samples["cassandra_write_seconds_bucket", ("le", "15.0"), ("outcome", "timed_out")]
    assert 0.0 == samples["cassandra_write_seconds_count", ("outcome", "acknowledged")]
    assert 1.0 == samples["batch_rows_bucket", ("le", "50.0")]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "acknowledged"),
        (cassandra.OperationTimedOut(), "timed_out"),
        (cassandra.WriteTimeout("late", write_type=cassandra.WriteType.SIMPLE), "timed_out"),
        (cassandra.Unavailable("too few"), "refused"),
        (cassandra.InvalidRequest("no such column"), "refused"),
        (cassandra.Unauthorized("no right"), "refused"),
        (OverloadedErrorMessage(0x1001, "busy", None), "refused"),
        (NoHostAvailable("nobody", {}), "failed"),
        (ConnectionError(), "failed"),
    ],
)
def test_outcomes_of_requests(error: BaseException | None, outcome: Outcome) -> None:
    """What the driver raises is one of four outcomes."""
    assert outcome == outcome_of(error)


def test_linger_is_told() -> None:
    """Whoever judges a delay counts in what the settings ask for."""
    registry = CollectorRegistry()
    metrics = ConsumerMetrics(registry, linger_s=2.5)

    assert 2.5 == _value(registry, "linger_seconds")
    assert 7.5 == metrics.late_after_s


@pytest.mark.parametrize("partitions", [1, 12, 24])
async def test_series_do_not_grow_with_users(partitions: int) -> None:
    """One user or ten thousand: four series for each assigned partition, and less than 300 with twelve of them."""

    def series() -> int:
        text = generate_latest(bench.registry).decode()
        return sum(not line.startswith("#") for line in text.splitlines())

    bench = Bench()
    bench.registry.register(new_registry("lastlogin_consumer", "1"))
    alone = series()
    partition, *_ = [bench.partition() for _ in range(partitions)]
    bench.start()
    for count in (1, 10_000):
        for number in range(count):
            partition.append(event_record(login(f"user{number}")))
        await until(
            lambda: set(bench.lags().values()) == {Lag(0, 0.0)} and partition.watermark == len(partition.records)
        )
        assert alone + 4 * partitions == series()
    assert partitions > 12 or series() < 300

    await bench.assignment.finish(0)
    assert alone == series()
    bench.assignment.failed.cancel()


def test_the_port_is_the_consumers() -> None:
    """Without settings the endpoint is on this machine only, at a port that the producer does not use."""
    section = ConsumerSettings.model_fields["metrics"].default

    assert ("127.0.0.1", 9469) == (section.address, section.port)
