"""The producer's metrics: names, labels, values."""

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from lastlogin_producer.dictproto import REFUSAL_REASONS
from lastlogin_producer.metrics import PREFIX, ProducerMetrics, Sources
from lastlogin_producer.outbox import SpoolLevels, State
from lastlogin_producer.outcome import Outcome
from lastlogin_producer.rules import DROP_REASONS
from lastlogin_producer.serving import CLOSE_REASONS, ServerStats
from lastlogin_producer.settings import SpoolSettings
from lastlogin_producer.spool import ASIDE_REASONS
from lastlogin_schemas.event import QUARANTINE_REASONS
from lastlogin_service.kafka import TopicSettings


NAMES = {
    "ready",
    "clock_seconds",
    "logins_total",
    "dict_connections",
    "dict_connections_accepted_total",
    "dict_connections_closed_total",
    "dict_socket_lost_total",
    "dict_commit_reply_seconds",
    "dict_refused_total",
    "quarantined_total",
    "dropped_total",
    "clock_regressions_total",
    "spool_rows",
    "spool_bytes",
    "spool_max_rows",
    "spool_max_bytes",
    "spool_used_ratio",
    "spool_oldest_age_seconds",
    "spool_sync_seconds",
    "spool_sync_rows",
    "spool_kept_rows",
    "spool_kept_bytes",
    "spool_set_aside_rows",
    "spool_resent_rows_total",
    "kafka_publish_seconds",
    "kafka_published_total",
    "kafka_in_flight_rows",
}


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    """One sample."""
    return registry.get_sample_value(f"{PREFIX}_{name}", labels)


def test_names() -> None:
    """The names are those agreed with whoever writes alerts; each has a HELP sentence, and a unit where it has one."""
    registry = CollectorRegistry()
    ProducerMetrics(registry)
    families = list(registry.collect())

    exposed = {family.name + "_total" * (family.type == "counter") for family in families}
    assert {f"{PREFIX}_{name}" for name in NAMES} == exposed
    for family in families:
        assert re.fullmatch(r"[A-Z].*\.", family.documentation), family.name
        assert ("histogram" == family.type) <= family.name.endswith(("_seconds", "_rows")), family.name
        assert not re.search(r"_(ms|us|kb|mb|count|info)$", family.name)


@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("logins_total", "service", ("imap", "pop3", "webmail", "lmtp", "other")),
        ("dict_connections_closed_total", "reason", CLOSE_REASONS),
        ("dict_refused_total", "reason", REFUSAL_REASONS),
        ("quarantined_total", "reason", QUARANTINE_REASONS),
        ("dropped_total", "by", DROP_REASONS),
        ("dict_commit_reply_seconds_count", "reply", ("stored", "full", "unconfirmed")),
        ("spool_set_aside_rows", "reason", ASIDE_REASONS),
        ("kafka_publish_seconds_count", "outcome", ("acknowledged", "failed")),
        ("kafka_published_total", "topic", ("lastlogin.events", "lastlogin.quarantine")),
    ],
)
def test_labels_exist_from_the_start(name: str, label: str, values: tuple[str, ...]) -> None:
    """Each value of a label is there, at 0, before anything happens; so an alert sees the first increase."""
    registry = CollectorRegistry()
    ProducerMetrics(registry)

    assert [0.0] * len(values) == [value(registry, name, **{label: one}) for one in values]


def test_a_scrape_reads_what_is_counted_elsewhere() -> None:
    """What changes in the sources after the start is in the next scrape."""
    registry = CollectorRegistry()
    said = [State()]
    sources = Sources(
        connections=lambda: 3,
        outbox=lambda: said[0],
        limits=SpoolSettings(max_rows=10, max_bytes=1000),
        topics=TopicSettings(events="logins"),
        ready=lambda: True,
        now_s=lambda: 1_795_387_910.25,
    )
    ProducerMetrics(registry, sources)
    levels = SpoolLevels(
        rows=5, bytes=600, oldest_age_s=12.5, kept_rows=7, kept_bytes=800, set_aside={"damaged": 1}, resent_rows=4
    )
    said[0] = State(levels)
    levels.syncs.seconds.observe(0.002)
    levels.syncs.rows.observe(130)
    sources.server.logins["imap"] += 11
    sources.server.accepted = 7
    sources.server.closed["idle"] += 2
    sources.server.refused["lookup"] += 3
    sources.server.quarantined["bad_key"] += 4
    sources.server.dropped["network"] += 6
    sources.clock.steps_back = 8
    said[0].publishing.published["logins"] += 100
    said[0].publishing.in_flight = lambda: 9
    said[0].publishing.seconds["failed"].observe(21.0)
    sources.server.reply_seconds[Outcome.FULL].observe(0.003)

    assert (1, 1_795_387_910.25) == (value(registry, "ready"), value(registry, "clock_seconds"))
    assert 11 == value(registry, "logins_total", service="imap")
    assert 3 == value(registry, "dict_connections")
    assert 7 == value(registry, "dict_connections_accepted_total")
    assert 2 == value(registry, "dict_connections_closed_total", reason="idle")
    assert 3 == value(registry, "dict_refused_total", reason="lookup")
    assert 4 == value(registry, "quarantined_total", reason="bad_key")
    assert 6 == value(registry, "dropped_total", by="network")
    assert 8 == value(registry, "clock_regressions_total")
    assert 100 == value(registry, "kafka_published_total", topic="logins")
    assert 9 == value(registry, "kafka_in_flight_rows")
    assert 21 == value(registry, "kafka_publish_seconds_sum", outcome="failed")
    assert (5, 600, 10, 1000) == tuple(
        value(registry, f"spool_{name}") for name in ("rows", "bytes", "max_rows", "max_bytes")
    )
    assert 12.5 == value(registry, "spool_oldest_age_seconds")
    assert (0.002, 130) == (value(registry, "spool_sync_seconds_sum"), value(registry, "spool_sync_rows_sum"))
    assert (7, 800, 4) == tuple(
        value(registry, f"spool_{name}") for name in ("kept_rows", "kept_bytes", "resent_rows_total")
    )
    assert 1 == value(registry, "spool_set_aside_rows", reason="damaged")
    assert 0 == value(registry, "dict_commit_reply_seconds_bucket", reply="full", le="0.002")
    assert 1 == value(registry, "dict_commit_reply_seconds_bucket", reply="full", le="0.005")
    assert 1 == value(registry, "dict_commit_reply_seconds_bucket", reply="full", le="+Inf")


def test_a_reason_that_nobody_has_listed_is_not_exposed() -> None:
    """Labels are closed sets: a key outside them never becomes a series."""
    registry = CollectorRegistry()
    sources = Sources()
    ProducerMetrics(registry, sources)
    sources.server.quarantined["somebody@example.org"] += 1

    assert b"somebody" not in generate_latest(registry)


@pytest.mark.parametrize(
    ("rows", "size", "ratio"), [(0, 0, 0.0), (5, 100, 0.5), (1, 750, 0.75), (10, 0, 1.0), (3, 1_200, 1.0)]
)
def test_how_full_the_spool_is(rows: int, size: int, ratio: float) -> None:
    """The fuller one of rows and bytes, and never more than 1: the last message may be larger than what was left."""
    registry = CollectorRegistry()
    limits = SpoolSettings(max_rows=10, max_bytes=1_000)
    ProducerMetrics(registry, Sources(outbox=lambda: State(SpoolLevels(rows=rows, bytes=size)), limits=limits))

    assert ratio == value(registry, "spool_used_ratio")


def test_services_that_are_told_apart() -> None:
    """Services that the settings name have a count of their own, a hundred in all; whatever clients invent has none."""
    stats = ServerStats()
    stats.tell_apart(["submission", "imap", *map(str, range(200))])
    for service in ("imap", "submission", "submission", "0", "199", "made up", "other"):
        stats.answered(service, Outcome.STORED, 0.001)
    stats.answered("imap", Outcome.FULL, 0.001)
    stats.answered(None, Outcome.STORED, 0.001)

    assert 100 == len(stats.logins)
    assert {"imap": 1, "submission": 2, "0": 1, "other": 3} == {
        name: count for name, count in stats.logins.items() if count
    }
    assert ("+Inf", 8.0) == stats.reply_seconds[Outcome.STORED].buckets()[-1]
