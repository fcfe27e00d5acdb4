"""Writes that a producer has set aside, as values, as records, and on a topic."""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiokafka.structs import ConsumerRecord
from confluent_kafka import Producer

from lastlogin_producer.records import RecordForm
from lastlogin_producer.spool.row import Kind, Row
from lastlogin_schemas.codec import encode_raw_write
from lastlogin_schemas.event import RawWrite
from lastlogin_stack.layout import Layout
from tests.support.batch import filled
from tests.support.command import Ended, lastlogin
from tests.support.logins import AT_US, record
from tests.support.publisher import OutTopics


# The key's pattern is missing in the producer's configuration of that day.
WRITE = RawWrite(
    user=b"test1",
    reason="bad_key",
    detail="the key fits no configured pattern",
    dict_name="statsdb",
    entries=((b"shared/seen/imap/test1/192.0.2.1", b"1700000000161"),),
    backend="mail1",
    received_at_us=AT_US + 5_000,
    epoch=17,
    sequence=4,
)

# The producer's configuration by which WRITE is a login.
DICT = "[dicts.statsdb]"
MENDED = f'{DICT}\nkey_patterns = ["seen/$service/$user/$ip"]\n'


def write(**fields: Any) -> RawWrite:
    """As WRITE, but for these fields; `key` and `value` are those of its one entry."""
    ((key, value),) = WRITE.entries
    entry = (fields.pop("key", key), fields.pop("value", value))
    return WRITE._replace(**{"entries": (entry,)} | fields)


def published(raw: RawWrite) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers as the producer's publisher makes them."""
    rows = deque([Row(raw.sequence, Kind.RAW_WRITE, encode_raw_write(raw))])
    return filled(RecordForm(raw.backend, raw.epoch, {}), rows)[0]


def aside_record(raw: RawWrite, **where: Any) -> ConsumerRecord[bytes, bytes]:
    """Record of a write that was set aside."""
    key, value, headers = published(raw)
    return record(value, headers, key=key, **where)


# Runs a command, then prints its greatest resident memory in KiB. A child of ours would be given ours.
MEASURING = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


class Aside:
    """A quarantine topic of one test, with the command that looks at it."""

    def __init__(self, layout: Layout, topics: OutTopics, file: Path) -> None:
        self.layout = layout
        self.topics = topics
        self.file = file
        self.environ = {"TOPICS__EVENTS": topics.events, "TOPICS__QUARANTINE": topics.quarantine}
        self._producer = Producer({"bootstrap.servers": layout.kafka_bootstrap, "log_level": 0})

    def publish(self, *records: tuple[bytes | None, bytes | None, Any]) -> None:
        """Put records (key, value, headers) on the quarantine topic."""
        for key, value, headers in records:
            self._producer.produce(self.topics.quarantine, value, key, headers=list(headers))
            self._producer.poll(0)
        assert self._producer.flush(20) == 0

    def run(self, *arguments: str, **variables: str) -> Ended:
        """Run `lastlogin quarantine`."""
        return lastlogin(self.layout, "quarantine", *arguments, **self.environ | variables)

    def start(self, *arguments: str, through: Sequence[str] = (), **options: Any) -> "subprocess.Popen[str]":
        """Start `lastlogin quarantine`, with pipes for its output unless `options` of Popen say otherwise."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LASTLOGIN_")}
        settings = {"KAFKA__BOOTSTRAP_SERVERS": self.layout.kafka_bootstrap, **self.environ}
        environ |= {f"LASTLOGIN_{name}": value for name, value in settings.items()}
        command = [*through, Path(sys.executable).with_name("lastlogin"), "quarantine", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=environ, **(pipes | options))

    def replay(self, *arguments: str) -> Ended:
        """Run `lastlogin quarantine replay` with the mended file."""
        return self.run("replay", "--producer-config", str(self.file), *arguments)
