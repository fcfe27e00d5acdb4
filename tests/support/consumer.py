"""The consumer as a process of its own, on topics of a test's own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import urlopen
from uuid import uuid4

from prometheus_client.parser import text_string_to_metric_families

from lastlogin_stack.layout import Layout
from tests.support.topics import Topics


_PREFIX = "LASTLOGIN_CONSUMER_"
POLL_S = 0.02


def wait_until(condition: Callable[[], bool], deadline_s: float = 30.0) -> None:
    """Wait until `condition` holds. Raises TimeoutError."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(POLL_S)


class ConsumerProcess:
    """`lastlogin-consumer` with settings from the environment; ends with the `with` block, whatever happened."""

    def __init__(self, layout: Layout, topics: Topics, directory: Path, **settings: str) -> None:
        self.group = topics.events
        self._log = directory / f"consumer-{uuid4().hex[:8]}.log"
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)} | {
            _PREFIX + name: value
            for name, value in {
                "GROUP": self.group,
                "KAFKA__BOOTSTRAP_SERVERS": layout.kafka_bootstrap,
                "TOPICS__EVENTS": topics.events,
                "TOPICS__DEAD_LETTERS": topics.dead_letters,
                "CASSANDRA__CONTACT_POINTS": layout.cassandra_address,
                "CASSANDRA__PORT": str(layout.cassandra_port),
                "METRICS__PORT": "0",
                "LOG__FORMAT": "json",
                **settings,
            }.items()
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, once more after it has ended."""
        script = str(Path(sys.executable).with_name("lastlogin-consumer"))
        self._starts += 1
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([script], env=self._environ, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, deadline_s: float = 20.0) -> int:
        """SIGTERM it, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self.wait(deadline_s)

    def wait(self, deadline_s: float = 20.0) -> int:
        """Wait until it ends, and return its exit code."""
        assert self._process is not None
        return self._process.wait(deadline_s)

    def output(self) -> str:
        """Everything it has written to standard output and standard error."""
        return self._log.read_text("utf-8")

    def said(self, action: str) -> list[dict[str, Any]]:
        """Its log lines with this `action`."""
        lines = (json.loads(line) for line in self.output().splitlines() if line.startswith("{") and line[-1] == "}")
        return [line for line in lines if line.get("action") == action]

    def wait_for(self, action: str, count: int = 1, deadline_s: float = 30.0) -> list[dict[str, Any]]:
        """Wait until it has said `action` so many times; return those lines. Raises TimeoutError."""
        try:
            wait_until(lambda: len(self.said(action)) >= count, deadline_s)
        except TimeoutError:
            raise TimeoutError(f"no {action!r} in:\n{self.output()[-4000:]}") from None
        return self.said(action)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of its endpoint. Raises OSError when nobody answers."""
        port = self.wait_for("metrics_listening", self._starts)[-1]["port"]
        try:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def reasons(self) -> list[str]:
        """Why it is not ready; nothing when it is."""
        return list(json.loads(self.get("/readyz")[1]).get("reasons", ()))

    def scrape(self) -> dict[str, float]:
        """Its own samples as they are scraped, by name without the prefix and labels: `lag_records{partition=0}`.

        The label `topic` is left out: a test has one.
        """
        samples = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                labels = ",".join(f"{name}={value}" for name, value in sample.labels.items() if name != "topic")
                name = sample.name.removeprefix("lastlogin_consumer_")
                samples[f"{name}{{{labels}}}" if labels else name] = sample.value
        return samples

    def lag(self) -> tuple[float, float]:
        """Records over all its partitions, and the highest seconds; -1 while it has no series."""
        samples = self.scrape().items()
        records = [value for name, value in samples if name.startswith("lag_records")]
        seconds = [value for name, value in samples if name.startswith("lag_seconds")]
        return sum(records) if records else -1, max(seconds, default=-1)

    def partitions(self) -> list[int]:
        """Partitions that it has been given last."""
        lines = [line for action in ("assigned", "revoked") for line in self.said(action)]
        last = max(lines, key=lambda line: str(line["timestamp"]), default=None)
        return list(last["partitions"]) if last is not None and last["action"] == "assigned" else []
