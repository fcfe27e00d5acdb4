"""What both services expose to Prometheus, as Prometheus's own tool judges it."""

import os
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from lastlogin_consumer.metrics import PREFIX as CONSUMER
from lastlogin_producer.dictproto import REFUSAL_REASONS
from lastlogin_producer.metrics import PREFIX as PRODUCER
from lastlogin_producer.metrics import ProducerMetrics, Sources
from lastlogin_producer.outbox import SpoolLevels, State
from lastlogin_producer.outcome import Outcome
from lastlogin_producer.serving import CLOSE_REASONS
from lastlogin_schemas.event import QUARANTINE_REASONS
from lastlogin_service.endpoint import ProcessMetrics, new_registry
from tests.support.bench import Bench
from tests.support.logins import login
from tests.support.memory import until


def _producer(sources: Sources | None = None) -> CollectorRegistry:
    """Everything that a producer exposes, its second process included."""
    registry = new_registry(PRODUCER, "1.2.3")
    ProducerMetrics(registry, sources)
    ProcessMetrics(f"{PRODUCER}_outbox", pid=os.getpid, registry=registry)
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


def _promtool(registry: CollectorRegistry) -> tuple[int, str]:
    """Exit code of `promtool check metrics`, and all that it says."""
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=generate_latest(registry),
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return checked.returncode, checked.stdout.decode()


def test_promtool_finds_nothing_wrong_with_the_producer() -> None:
    """Names, units, HELP and types are as Prometheus wants them, before anything happens and afterwards."""
    assert (0, "") == _promtool(_producer())
    assert (0, "") == _promtool(_busy_producer(1_000, 10))


async def test_promtool_finds_nothing_wrong_with_the_consumer() -> None:
    """The same, with partitions that are read, rows that are written and a record that is set aside."""
    bench = Bench()
    assert (0, "") == _promtool(bench.registry)
    partitions = [bench.partition(login("a"), None), bench.partition(login("b"))]
    bench.start()
    await until(lambda: [2, 1] == [partition.watermark for partition in partitions])
    bench.metrics.end_to_end.observe(0.3)
    bench.metrics.cassandra_write["acknowledged"].observe(0.002)

    assert (0, "") == _promtool(bench.registry)
    assert 2.0 == bench.registry.get_sample_value(f"{CONSUMER}_rows_written_total")
    await bench.assignment.abandon()
    bench.assignment.failed.cancel()


def test_a_process_is_told_where_nothing_else_is(tmp_path: Path) -> None:
    """In a /proc with processes and nothing else, as the units ask for (ProcSubset=pid): all, also when it started."""
    (tmp_path / "self").symlink_to("/proc/self")
    own, known = CollectorRegistry(), CollectorRegistry()
    ProcessMetrics(proc=str(tmp_path), registry=own)
    ProcessCollector(registry=known)

    assert _series(known) == _series(own)
    started = known.get_sample_value("process_start_time_seconds")
    assert pytest.approx(started, abs=1.5) == own.get_sample_value("process_start_time_seconds")


def _series(registry: CollectorRegistry) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))) for each in registry.collect() for sample in each.samples
    }


def test_series_of_a_producer() -> None:
    """Fewer than 300, and the same ones whatever comes in: users, services and connections make none."""
    idle = _series(_producer())

    assert len(idle) < 300
    assert idle == _series(_busy_producer(1, 1)) == _series(_busy_producer(2_000, 4_096))
