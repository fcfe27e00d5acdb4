"""The producer against the limit of the machine: `make bench-producer`.

burst       logins as fast as they are answered, Kafka away: the path from the socket to the disk and back
sustained   the same for a minute with a real Kafka; a login counts when Kafka has it too
latency     2,000 logins a second at fixed times, with Kafka
backlog     5 million events in the spool: memory, how fast they leave, and what logins notice of it

The limit is a uvloop server that answers and does nothing else, measured in turn with the producer, with the same
generator. Everything runs on one machine, so the generator and Kafka take their share of it.
"""

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import click

from benchmarks.backlog import build
from benchmarks.figures import spread
from benchmarks.processes import DISK, Answers, Load, bare_server, build_load, producer
from benchmarks.servers import KAFKA_JVM
from lastlogin_stack.errors import StackError
from lastlogin_stack.jars import KAFKA_JARS, ensure
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import Layout
from lastlogin_stack.services import create_topics


# Enough logins under way at once that neither server waits for its clients: a group commit answers a hundred at a time.
CLIENTS = 400
BURST_S = 4.0
SUSTAINED_S = 60.0
DRAIN_S = 300.0
LATENCY_RATE = 2_000
LATENCY_S = 20.0
BACKLOG_ROWS = 5_000_000
BACKLOG_RATE = 200
BACKLOG_S = 60.0
NOWHERE = "127.0.0.1:9"
_METRICS_PORT = 21_968


@dataclass(slots=True)
class Runs:
    """What was measured of one server."""

    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    generator_cores: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)

    def add(self, answers: Answers, cpu_s: float, memory_mib: float, rate: float | None = None) -> None:
        """Add a run. Raises StackError when a login was lost, or when the generator was the limit."""
        if not answers.whole:
            raise StackError(f"not every login was stored: {answers}")
        cores = answers.cpu_s / answers.seconds
        if cores > 0.95:  # noqa: PLR2004 - of the one that a single thread can have
            raise StackError(f"the generator was the limit: {cores:.2f} cores")
        self.rates.append(answers.rate if rate is None else rate)
        self.cpu_us.append(cpu_s / answers.stored * 1e6)
        self.generator_cores.append(cores)
        self.memory_mib.append(memory_mib)

    def tell(self, name: str) -> None:
        """Print median and spread."""
        click.echo(
            f"  {name:9} {spread(self.rates)} logins/s, {spread(self.cpu_us, ' us')} CPU a login, "
            f"generator {spread(self.generator_cores, digits=2)} cores, peak memory {max(self.memory_mib):.0f} MiB"
        )


def _bare(load: Load, seconds: float, runs: Runs) -> None:
    with bare_server() as (process, path):
        answers = load.run(path, seconds)
        runs.add(answers, process.cpu_s(), process.peak_memory_mib())


def burst(load: Load, rounds: int) -> float:
    """Print both servers' figures; return the ratio of their medians."""
    click.echo(f"burst: {load.clients} clients for {BURST_S:g} s, {load.writes} write(s) a login, Kafka away")
    bare, ours = Runs(), Runs()
    for _ in range(rounds):
        _bare(load, BURST_S, bare)
        with producer(NOWHERE, _METRICS_PORT) as process:
            before = process.cpu_s()
            answers = load.run(process.socket, BURST_S)
            ours.add(answers, process.cpu_s() - before, process.peak_memory_mib())
    bare.tell("bare")
    ours.tell("producer")
    return median(ours.rates) / median(bare.rates)


def sustained(load: Load, rounds: int, kafka: str) -> float:
    """Print both servers' figures; return the ratio of their medians. A login counts when Kafka has it."""
    click.echo(f"sustained: {load.clients} clients for {SUSTAINED_S:g} s, until Kafka has everything")
    bare, ours = Runs(), Runs()
    answered = []
    for number in range(rounds):
        _bare(load, BURST_S, bare)
        with producer(kafka, _METRICS_PORT) as process:
            begun, before = time.monotonic(), process.cpu_s()
            answers = load.run(process.socket, SUSTAINED_S, prefix=f"s{number}-")
            process.drain(DRAIN_S)
            rate = answers.stored / (time.monotonic() - begun)
            if process.published() != answers.stored:
                raise StackError(f"{answers.stored} logins were stored, {process.published():.0f} published")
            ours.add(answers, process.cpu_s() - before, process.peak_memory_mib(), rate)
            answered.append(answers.rate)
    bare.tell("bare")
    ours.tell("producer")
    click.echo(f"  answered  {spread(answered)} logins/s; the rest of the time went into publishing what had waited")
    return median(ours.rates) / median(bare.rates)


def latency(load: Load, rounds: int, kafka: str) -> None:
    """Print how long a login waits at a rate that a busy backend may have."""
    click.echo(f"latency: {LATENCY_RATE:,} logins a second for {LATENCY_S:g} s, from when it is due to the reply")
    runs, cpu_us = [], []
    for number in range(rounds):
        with producer(kafka, _METRICS_PORT) as process:
            before = process.cpu_s()
            answers = load.run(process.socket, LATENCY_S, rate=LATENCY_RATE, prefix=f"l{number}-")
            process.drain(DRAIN_S)
            runs.append(answers)
            cpu_us.append((process.cpu_s() - before) / answers.stored * 1e6)
    for name in ("p50_ms", "p99_ms", "p999_ms"):
        click.echo(f"  {name.removesuffix('_ms'):9} {spread([getattr(run, name) for run in runs], ' ms', 2)}")
    click.echo(f"  CPU       {spread(cpu_us, ' us')} a login")


def backlog(load: Load, kafka: str) -> None:
    """Print what five million waiting events cost."""
    with tempfile.TemporaryDirectory(dir=DISK, prefix="lastlogin-bench-") as name:
        directory = Path(name)
        click.echo(f"backlog: {BACKLOG_ROWS:,} events, {BACKLOG_RATE} logins a second meanwhile")
        build(directory / "spool", BACKLOG_ROWS)
        begun = time.monotonic()
        with producer(kafka, _METRICS_PORT, directory) as process:
            click.echo(f"  start     {time.monotonic() - begun:.2f} s to the first login")
            begun, first = time.monotonic(), process.published()
            answers = load.run(process.socket, BACKLOG_S, rate=BACKLOG_RATE, prefix="d")
            took, gone = time.monotonic() - begun, process.published() - first
            click.echo(
                f"  drain     {gone / took:,.0f} events/s over {took:.0f} s; {process.waiting():,.0f} still wait"
            )
            click.echo(
                f"  logins    p50 {answers.p50_ms:.2f} ms, p99 {answers.p99_ms:.2f} ms; all stored: {answers.whole}"
            )
            click.echo(f"  memory    {process.peak_memory_mib():.0f} MiB at most")


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Runs of each measurement.")
@click.option(
    "--only", type=click.Choice(["burst", "sustained", "latency", "backlog"]), multiple=True, help="Not all of them."
)
@click.option("--writes", type=click.Choice(["1", "4"]), default="1", help="As Dovecot 2.4.2 and later, or as 2.3.")
def main(rounds: int, only: tuple[str, ...], writes: str) -> None:
    """Measure the producer, and print ratios to the limit of the machine at the end."""
    chosen = only or ("burst", "sustained", "latency", "backlog")
    ratios = {}
    with tempfile.TemporaryDirectory(dir=DISK, prefix="lastlogin-bench-") as name:
        load = Load(build_load(Path(name)), CLIENTS, int(writes))
        if "burst" in chosen:
            ratios["burst"] = burst(load, rounds)
        if set(chosen) - {"burst"}:
            ensure(KAFKA_JARS, click.echo)
            layout = Layout(Path(name) / "stack", 21_900)
            kafka = Kafka(layout, KAFKA_JVM)
            kafka.start()
            try:
                kafka.wait_ready()
                create_topics(layout)
                if "sustained" in chosen:
                    ratios["sustained"] = sustained(load, rounds, layout.kafka_bootstrap)
                if "latency" in chosen:
                    latency(load, rounds, layout.kafka_bootstrap)
                if "backlog" in chosen:
                    backlog(load, layout.kafka_bootstrap)
            finally:
                kafka.stop()
    for each, ratio in ratios.items():
        click.echo(f"ratio {each} {ratio:.2f}")


if __name__ == "__main__":
    main()
