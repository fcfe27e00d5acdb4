"""From the login to its row, through both services: `make bench-latency`.

A thousand logins a second, and beside them one in each twentieth of a second, whose row is looked for all the time from
when that login is due until the row is read; it waits for no other one. The linger is 20 ms. One run before those that
count lets the servers compile what they do.
"""

import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import click

from benchmarks.figures import spread
from benchmarks.processes import DISK, Consumer, Load, build_load, producer
from benchmarks.servers import servers
from lastlogin_schemas.topics import DEAD_LETTERS, EVENTS
from lastlogin_stack.readback import StatsTable
from lastlogin_stack.services import create_topics
from tests.support.dict_client import write


RATE = 1_000
SECONDS = 30.0
LINGER_S = "0.02"
_CLIENTS = 400
_SAMPLE_EVERY_S = 0.05
# Samples that may be on their way at a time: ten seconds would have to pass without a row until one waits for another.
_SAMPLES = 200
_LOOK_S = 0.001
_METRICS_PORT = 21_968
_DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class _Names:
    """Topics of a stack."""

    events: str = EVENTS
    dead_letters: str = DEAD_LETTERS


def _sample(socket: Path, table: StatsTable, user: str, due: float) -> float:
    """Seconds from `due` until the row of a login is read. Raises TimeoutError."""
    write(socket, user, f"shared/last-login/imap/{user}/192.0.2.1", str(time.time_ns() // 1_000_000), major=4)
    while "imap" not in table.row(user):
        if time.monotonic() - due > _DEADLINE_S:
            raise TimeoutError(f"no row after {_DEADLINE_S:g} s")
        time.sleep(_LOOK_S)
    return time.monotonic() - due


def _ticks(crowd: threading.Thread) -> Iterator[float]:
    """When the next sample is due, at that time, until the crowd has gone."""
    due = time.monotonic()
    while crowd.is_alive():
        yield due
        due += _SAMPLE_EVERY_S
        time.sleep(max(0.0, due - time.monotonic()))


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Runs.")
def main(rounds: int) -> None:
    """Measure the way of a login, and print its median and 99th percentile."""
    with tempfile.TemporaryDirectory(dir=DISK, prefix="lastlogin-bench-") as name, servers(Path(name)) as layout:
        create_topics(layout)
        load = Load(build_load(Path(name)), _CLIENTS, 1)
        consumer = Consumer(Path(name), layout, _Names(), linger_s=LINGER_S)
        click.echo(f"latency: {RATE:,} logins a second for {SECONDS:g} s, linger {LINGER_S} s, {rounds} runs")
        middle, worst = [], []
        try:
            with (
                producer(layout.kafka_bootstrap, _METRICS_PORT) as process,
                StatsTable(layout) as table,
                ThreadPoolExecutor(_SAMPLES) as pool,
            ):
                _sample(process.socket, table, "first@example.org", time.monotonic())
                for number in range(rounds + 1):
                    crowd = threading.Thread(
                        target=load.run, args=(process.socket, SECONDS), kwargs={"rate": RATE, "prefix": f"r{number}-"}
                    )
                    crowd.start()
                    samples: list[Future[float]] = []
                    for due in _ticks(crowd):
                        user = f"s{number}-{len(samples)}@example.org"
                        samples.append(pool.submit(_sample, process.socket, table, user, due))
                    took = [sample.result() * 1_000 for sample in samples]
                    if number:
                        middle.append(quantiles(took, n=100)[49])
                        worst.append(quantiles(took, n=100)[98])
        finally:
            consumer.stop()
    click.echo(f"  login to row p50 {spread(middle, ' ms', 1)}")
    click.echo(f"  login to row p99 {spread(worst, ' ms', 1)}")


if __name__ == "__main__":
    main()
