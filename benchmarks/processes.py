"""What is measured: our producer, the bare server, and the generator of logins."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from urllib.request import urlopen
from uuid import uuid4

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from lastlogin_stack.errors import StackError
from lastlogin_stack.layout import Layout
from tests.support.consumer import TopicNames, consumer_variables
from tests.support.process import children, cpu_s, peak_memory_bytes


# Not in memory, as /tmp may be.
DISK = "/var/tmp"  # noqa: S108 - a directory of its own is made in it
HERE = Path(__file__).parent
_START_S = 30.0
_POLL_S = 0.02
_SCRAPE_S = 0.1
_CONSUMER_PORT = 21_969


@dataclass(frozen=True, slots=True)
class Answers:
    """What the generator saw: counts, the seconds until the last answer, its own CPU, latencies in milliseconds."""

    stored: int
    refused: int
    closed: int
    not_connected: int
    unanswered: int
    seconds: float
    cpu_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float

    @property
    def rate(self) -> float:
        """Logins a second."""
        return self.stored / self.seconds

    @property
    def whole(self) -> bool:
        """Whether each login was answered, and as stored."""
        return not (self.refused or self.closed or self.not_connected or self.unanswered)


def build_load(directory: Path) -> Path:
    """Compile the generator, and return the program."""
    program = directory / "load"
    subprocess.run(["cc", "-O2", "-o", program, HERE / "load.c"], check=True)
    return program


@dataclass(frozen=True, slots=True)
class Load:
    """Logins as `load.c` makes them."""

    program: Path
    clients: int
    writes: int

    def run(self, path: Path, seconds: float, *, rate: float = 0, prefix: str = "u") -> Answers:
        """Make logins for so long, as fast as they are answered or at `rate` a second."""
        arguments = [path, self.clients, seconds, rate, self.writes, prefix]
        done = subprocess.run([self.program, *map(str, arguments)], check=True, capture_output=True, text=True)
        return Answers(**json.loads(done.stdout))


class Process:
    """A process that is measured; ends with the `with` block."""

    def __init__(self, command: list[str], directory: Path, environ: dict[str, str] | None = None) -> None:
        self._log = directory / "log"
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | (environ or {}))

    def cpu_s(self) -> float:
        """Seconds of CPU so far, of all its threads and of the process that it has forked."""
        return sum(map(cpu_s, self._pids()))

    def peak_memory_mib(self) -> float:
        """Most memory that it and the process that it has forked ever held, what they share counted once, in MiB."""
        return peak_memory_bytes(*self._pids()) / 1_048_576

    def _pids(self) -> list[int]:
        return [self._child.pid, *children(self._child.pid)]

    def wait_for(self, path: Path) -> None:
        """Wait until somebody listens at `path`. Raises TimeoutError with what the process has said."""
        ends_at = time.monotonic() + _START_S
        while not path.is_socket():
            if time.monotonic() > ends_at or self._child.poll() is not None:
                raise TimeoutError(self._log.read_text()[-2000:])
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._child.terminate()
        self._child.wait(_START_S)


def _scrape(port: int) -> list[Sample]:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return [sample for family in families for sample in family.samples]


class Producer(Process):
    """Our producer, on a socket and a spool in `directory`."""

    def __init__(self, directory: Path, kafka: str, metrics_port: int) -> None:
        self.socket = directory / "dict.sock"
        self._port = metrics_port
        settings = {
            "BACKEND": "bench",
            "SOCKET__PATH": str(self.socket),
            "SPOOL__DIRECTORY": str(directory / "spool"),
            "KAFKA__BOOTSTRAP_SERVERS": kafka,
            "METRICS__PORT": str(metrics_port),
            "LOG__FORMAT": "json",
        }
        script = str(Path(sys.executable).with_name("lastlogin-producer"))
        super().__init__([script], directory, {f"LASTLOGIN_PRODUCER_{key}": value for key, value in settings.items()})

    def sample(self, name: str) -> float:
        """Sum of a metric's samples now."""
        return sum(sample.value for sample in _scrape(self._port) if sample.name == name)

    def waiting(self) -> float:
        """Messages in the spool that wait for Kafka."""
        return self.sample("lastlogin_producer_spool_rows")

    def published(self) -> float:
        """Messages that Kafka has acknowledged."""
        return self.sample("lastlogin_producer_kafka_published_total")

    def drain(self, deadline_s: float) -> None:
        """Wait until nothing waits. Raises TimeoutError."""
        ends_at = time.monotonic() + deadline_s
        while self.waiting():
            if time.monotonic() > ends_at:
                raise TimeoutError(f"{self.waiting():.0f} messages still wait after {deadline_s:g} s")
            time.sleep(_POLL_S)


class Consumer(Process):
    """Our consumer, in a group of its own that begins at the earliest offset."""

    def __init__(self, directory: Path, layout: Layout, topics: TopicNames, linger_s: str) -> None:
        settings = consumer_variables(layout, topics) | {
            "METRICS__PORT": str(_CONSUMER_PORT),
            "GROUP": f"bench-{uuid4().hex}",
            "LINGER_S": linger_s,
        }
        script = str(Path(sys.executable).with_name("lastlogin-consumer"))
        super().__init__([script], directory, {f"LASTLOGIN_CONSUMER_{key}": value for key, value in settings.items()})

    def samples(self) -> dict[str, float]:
        """Its metrics without labels, by name without the prefix; nothing while it does not answer."""
        try:
            samples = _scrape(_CONSUMER_PORT)
        except OSError:
            return {}
        return {each.name.removeprefix("lastlogin_consumer_"): each.value for each in samples if not each.labels}

    def wait_for_first(self) -> tuple[float, float]:
        """Wait for the first events; the time, and the CPU that the start has cost. Raises TimeoutError."""
        ends_at = time.monotonic() + _START_S
        cpu_s = 0.0
        while not self.samples().get("events_total"):
            cpu_s = self.cpu_s()
            if time.monotonic() > ends_at:
                raise TimeoutError(self._log.read_text()[-2000:])
            time.sleep(_POLL_S)
        return time.monotonic() - _POLL_S / 2, cpu_s

    def wait_for_all(self, events: int, deadline_s: float) -> dict[str, float]:
        """Wait until so many events are done; its metrics then. Raises TimeoutError."""
        ends_at = time.monotonic() + deadline_s
        while True:
            samples = self.samples()
            done = sum(samples.get(name, 0.0) for name in ("rows_written_total", "deduplicated_total"))
            if done >= events:
                return samples
            if time.monotonic() > ends_at:
                raise TimeoutError(f"{done:.0f} of {events} events are done after {deadline_s:g} s")
            # Seldom, for each answer takes CPU from what is measured.
            time.sleep(_SCRAPE_S)


class Replay(Process):
    """`lastlogin-consumer replay` of all that is on a topic."""

    def __init__(self, directory: Path, layout: Layout, topics: TopicNames) -> None:
        variables = {f"LASTLOGIN_CONSUMER_{key}": value for key, value in consumer_variables(layout, topics).items()}
        script = str(Path(sys.executable).with_name("lastlogin-consumer"))
        super().__init__([script, "replay", "--since", "1d"], directory, variables)

    def wait_for_all(self, events: int, deadline_s: float) -> tuple[float, float]:
        """Wait until it ends; seconds that the records took, by its own words, and of CPU, with its start.

        Raises StackError.
        """
        before = getrusage(RUSAGE_CHILDREN)
        code = self._child.wait(deadline_s)
        used = getrusage(RUSAGE_CHILDREN)
        said = re.search(r"replayed ([0-9,]+) records? in ([0-9.]+) s", self._log.read_text())
        if code or said is None or int(said[1].replace(",", "")) != events:
            raise StackError(f"{events} events were to be replayed:\n{self._log.read_text()[-2000:]}")
        return float(said[2]), used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime


@contextmanager
def producer(kafka: str, metrics_port: int, directory: Path | None = None) -> Iterator[Producer]:
    """A producer that serves, in a new directory unless one is given."""
    with tempfile.TemporaryDirectory(dir=DISK, prefix="lastlogin-bench-") as new:
        process = Producer(directory or Path(new), kafka, metrics_port)
        try:
            process.wait_for(process.socket)
            yield process
        finally:
            process.stop()


@contextmanager
def bare_server() -> Iterator[tuple[Process, Path]]:
    """The server that only answers, and its socket."""
    with tempfile.TemporaryDirectory(dir=DISK, prefix="lastlogin-bench-") as directory:
        path = Path(directory) / "bare.sock"
        process = Process([sys.executable, str(HERE / "bare_server.py"), str(path)], Path(directory))
        try:
            process.wait_for(path)
            yield process, path
        finally:
            process.stop()
