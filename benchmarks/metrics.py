"""What being watched costs: `make bench-metrics`.

scrape     `/metrics` over HTTP on loopback: of a producer that has just taken logins on by the ten thousand, and of a
           consumer with so many partitions; against 20 ms
counting   what a producer counts for each batch of logins, and a consumer for each window, alone in a loop; as a share
           of all that the batch and the window cost. The producer is a real one, Kafka away; the consumer's pipeline
           and writer are, between a log and a table in memory, so that its share is an upper bound
"""

import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from statistics import median
from types import SimpleNamespace
from typing import Any

import click
import structlog

from benchmarks.figures import spread
from benchmarks.processes import DISK, Load, Process, build_load, producer
from lastlogin_consumer.compact import WindowLimits
from lastlogin_consumer.decode import Login
from lastlogin_consumer.metrics import ConsumerMetrics
from lastlogin_consumer.ring import Ring
from lastlogin_consumer.writer import Writer
from lastlogin_producer.outcome import Outcome
from lastlogin_producer.publish_stats import PublishStats
from lastlogin_producer.server import ServerStats
from lastlogin_producer.spool import SyncStats
from lastlogin_schemas.table import TableMapping
from lastlogin_service.backoff import Backoff
from tests.support.bench import Bench
from tests.support.logins import AT_US, login
from tests.support.memory import until


LIMIT_MS = 20.0
SCRAPES = 300
PARTITIONS = (6, 64)
CLIENTS = 400
BURST_S = 3.0
WINDOW_ROWS = 10_000
WINDOWS = 3
# Calls in a round.
_COUNTED = 100
_NOWHERE = "127.0.0.1:9"
_PRODUCER_PORT, _CONSUMER_PORT = 21_968, 21_969
_START_S = 30.0
_POLL_S = 0.05


def _scrape(port: int) -> tuple[float, int]:
    """Milliseconds until the whole answer is there, connecting included, and how many series it has."""
    begun = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        body = connection.getresponse().read()
    finally:
        connection.close()
    return (time.perf_counter() - begun) * 1e3, sum(line[:1] != b"#" for line in body.splitlines())


def _tell_scrapes(name: str, process: Process, port: int) -> None:
    before = process.cpu_s()
    scrapes = [_scrape(port) for _ in range(SCRAPES)]
    cpu_ms = (process.cpu_s() - before) / SCRAPES * 1e3
    taken = sorted(ms for ms, _ in scrapes)
    most = taken[SCRAPES // 20 : -SCRAPES // 20]
    click.echo(
        f"  {name:24} {scrapes[-1][1]:4} series, {spread(most, ' ms', 2)}, slowest {taken[-1]:.2f} ms, "
        f"{median(taken) / LIMIT_MS:.2f} of the limit; {cpu_ms:.2f} ms of CPU"
    )


def _wait_for(port: int) -> None:
    ends_at = time.monotonic() + _START_S
    while True:
        try:
            _scrape(port)
        except OSError:
            if time.monotonic() > ends_at:
                raise
            time.sleep(_POLL_S)
        else:
            return


def _alone(counting: Callable[[], None], rounds: int) -> list[float]:
    """Microseconds that one call takes, by round."""
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        for _ in range(_COUNTED):
            counting()
        found.append((time.process_time() - begun) / _COUNTED * 1e6)
    return found


def _producer_counts(logins: int) -> Callable[[], None]:
    """All that both processes count for a batch of so many logins."""
    stats, syncs, publishing = ServerStats(), SyncStats(), PublishStats()

    def count() -> None:
        for _ in range(logins):
            stats.accepted += 1
            stats.answered("imap", Outcome.STORED, 0.002)
        syncs.seconds.observe(0.0004)
        syncs.rows.observe(logins)
        publishing.seconds["acknowledged"].observe(0.004)
        publishing.published["lastlogin.events"] += logins

    return count


def _consumer_counts(metrics: ConsumerMetrics, batches: int) -> Callable[[], None]:
    """All that a consumer counts for a window of so many batches."""
    totals, write, late_after_s = metrics.totals, metrics.cassandra_write["acknowledged"], metrics.late_after_s
    window = [Login(f"user{number}", "imap", AT_US, b"", True, number) for number in range(WINDOW_ROWS)]
    rows = -(-WINDOW_ROWS // batches)

    def count() -> None:
        now = AT_US / 1e6 + 0.3
        for start in range(0, WINDOW_ROWS, rows):
            write.observe(0.002)
            totals.retries += False
            for each in window[start : start + rows]:
                age_s = now - each.login_at_us / 1e6
                metrics.end_to_end.observe(max(0.0, age_s))
                if age_s > late_after_s:
                    totals.late += 1
        totals.fetched += WINDOW_ROWS
        totals.written += WINDOW_ROWS
        metrics.batch_rows.observe(WINDOW_ROWS)
        totals.merged += 0
        totals.unmapped += 0
        totals.expired += 0
        totals.unchecked += 0

    return count


class _Acknowledging:
    """A table whose nodes acknowledge everything at once."""

    def __init__(self) -> None:
        self.session = self
        self.topology = SimpleNamespace(ring=Ring)
        self.key = None
        self.formats = {"imap": None}
        self.mapping = TableMapping()
        self.local_dc = "dc1"

    def batch(self, logins: list[Login]) -> list[Login]:
        """The rows as they are."""
        return logins

    def execute_async(self, _batch: list[Login]) -> "_Acknowledging":
        """A request, as the driver gives it back."""
        return self

    def add_callbacks(self, taken: Callable[..., None], _failed: object, args: tuple[Any, ...], *_: object) -> None:
        """Answer."""
        taken(None, *args)


async def _consume() -> tuple[float, float, ConsumerMetrics]:
    """Microseconds of CPU for a window, from records to rows, and its batches; what was counted."""
    bench = Bench(WindowLimits(0.2, WINDOW_ROWS, 2**30))
    table: Any = _Acknowledging()
    backoff = partial(Backoff, 1, 1, Random(0))  # noqa: S311 - jitter
    writer: Any = Writer(TableMapping(), lambda _: table, backoff, bench.metrics, wall=lambda: bench.time)
    await writer.connect()
    bench.table = writer
    bench.assignment = bench.new_assignment()
    log = bench.partition(*(login(f"user{number}") for number in range(WINDOWS * WINDOW_ROWS)))
    begun = time.process_time()
    bench.start()
    await until(lambda: log.watermark == len(log.records), 10_000_000)
    taken = time.process_time() - begun
    await bench.assignment.abandon()
    bench.assignment.failed.cancel()
    windows, batches = (
        histogram.buckets()[-1][1]
        for histogram in (bench.metrics.batch_rows, bench.metrics.cassandra_write["acknowledged"])
    )
    return taken / windows * 1e6, batches / windows, bench.metrics


def _tell_counting(name: str, what: str, count: int, alone: list[float], whole: list[float]) -> None:
    click.echo(
        f"  {name:9} {what}: {spread(alone, ' us')} of {spread(whole, ' us')} CPU, "
        f"{100 * median(alone) / median(whole):.1f} %; {median(alone) / count:.2f} us each"
    )


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Runs of each measurement.")
def main(rounds: int) -> None:
    """Measure scrapes and counting."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    click.echo(f"scrape: {SCRAPES} each, median and nine tenths of them; limit {LIMIT_MS:g} ms")
    whole, logins = [], []
    with tempfile.TemporaryDirectory(dir=DISK, prefix="lastlogin-bench-") as name:
        load = Load(build_load(Path(name)), CLIENTS, 1)
        with producer(_NOWHERE, _PRODUCER_PORT) as process:
            for number in range(rounds):
                before = process.cpu_s(), process.sample("lastlogin_producer_spool_sync_rows_count")
                answers = load.run(process.socket, BURST_S, prefix=f"m{number}-")
                batches = process.sample("lastlogin_producer_spool_sync_rows_count") - before[1]
                logins.append(answers.stored / batches)
                whole.append((process.cpu_s() - before[0]) / batches * 1e6)
            _tell_scrapes("producer", process, _PRODUCER_PORT)
        for partitions in PARTITIONS:
            command = [sys.executable, "-m", "benchmarks.scraped_consumer", str(_CONSUMER_PORT), str(partitions)]
            consumer = Process(command, Path(name))
            try:
                _wait_for(_CONSUMER_PORT)
                _tell_scrapes(f"consumer, {partitions} partitions", consumer, _CONSUMER_PORT)
            finally:
                consumer.stop()
    click.echo("counting: alone, of all that a batch or a window costs")
    size = round(median(logins))
    _tell_counting("producer", f"batch of {size} logins", size, _alone(_producer_counts(size), rounds), whole)
    consumed = [asyncio.run(_consume()) for _ in range(rounds)]
    _, batches, metrics = consumed[-1]
    _tell_counting(
        "consumer",
        f"window of {WINDOW_ROWS:,} rows in {batches:.0f} batches",
        WINDOW_ROWS,
        _alone(_consumer_counts(metrics, round(batches)), rounds),
        [window for window, _, _ in consumed],
    )


if __name__ == "__main__":
    main()
