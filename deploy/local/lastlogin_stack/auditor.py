"""A second reader of the topics, beside the pipeline: the example of docs/events.md, as a process in its own group."""

import json
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from confluent_kafka import Consumer, TopicPartition

from lastlogin_schemas.topics import EVENTS, QUARANTINE
from lastlogin_stack.layout import PROJECT_ROOT, Layout
from lastlogin_stack.readback import Record


PROGRAM = PROJECT_ROOT / "docs" / "examples" / "audit_reader.py"
AVSC = PROJECT_ROOT / "schemas" / "lastlogin_schemas" / "avsc"
_STOP_DEADLINE_S = 10.0
_POLL_S = 0.1

Place = tuple[str, int, int]


class Auditor:
    """The running example; reads both topics from their beginning. Its output goes to `directory`, not to a pipe."""

    def __init__(self, layout: Layout, directory: Path, topics: Collection[str] = (EVENTS, QUARANTINE)) -> None:
        self._lines = directory / f"auditor-{uuid4().hex[:8]}.jsonl"
        self._complaints = self._lines.with_suffix(".err")
        self._servers = layout.kafka_bootstrap
        self._topics = tuple(topics)
        self._command = [
            sys.executable,
            str(PROGRAM),
            self._servers,
            f"auditor-{uuid4().hex[:8]}",
            str(AVSC),
            *self._topics,
        ]

    def __enter__(self) -> Self:
        with self._lines.open("wb") as out, self._complaints.open("wb") as err:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=err)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._lines.unlink()
        self._complaints.unlink()

    @property
    def running(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def seen(self) -> dict[Place, dict[str, Any]]:
        """What it has printed, by topic, partition and offset; without a last line that is not complete yet."""
        text = self._lines.read_text("utf-8")
        found = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return {(each["topic"], each["partition"], each["offset"]): each for each in found}

    def read_to_end(self, deadline_s: float) -> dict[Place, dict[str, Any]]:
        """What it has seen, once it is at the present end of every partition (only then is a hole a loss).

        As it is when the deadline has passed, or when it has ended.
        """
        last = self._last_records()
        deadline = time.monotonic() + deadline_s
        while not last <= (seen := self.seen()).keys() and time.monotonic() < deadline and self.running:
            time.sleep(_POLL_S)
        return seen

    def _last_records(self) -> set[Place]:
        consumer = Consumer({"bootstrap.servers": self._servers, "group.id": "lastlogin-readback", "log_level": 0})
        try:
            last = set()
            for topic in self._topics:
                for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
                    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
                    if low < high:
                        last.add((topic, partition, high - 1))
            return last
        finally:
            consumer.close()

    def stop(self) -> dict[str, list[int]]:
        """End it; returns the sequence numbers that it missed, by backend and epoch. May be called again.

        Raises RuntimeError, with what it printed, when it ended in another way.
        """
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(_STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        said = self._complaints.read_text("utf-8").strip()
        if self._process.returncode != 0:
            message = f"the auditor ended with {self._process.returncode}: {said}"
            raise RuntimeError(message)
        missing: dict[str, list[int]] = json.loads(said.splitlines()[-1])["missing"]
        return missing


def differences(record: Record, printed: dict[str, Any] | None) -> list[str]:
    """Fields in which the auditor's event is not the one that `record` holds, or why there is none."""
    where = f"partition {record.partition} offset {record.offset}"
    if printed is None:
        return [f"{where}: not seen by the auditor"]
    if "undecodable" in printed:
        return [f"{where}: {printed['undecodable']}"]
    return [f"{where}: {name}" for name, value in record.event._asdict().items() if printed.get(name) != value]
