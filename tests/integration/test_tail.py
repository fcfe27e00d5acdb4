"""`lastlogin tail` on a real Kafka."""

import json
import os
import queue
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest
from confluent_kafka import Producer

from lastlogin_schemas.partitioner import partition_of
from lastlogin_stack.layout import Layout
from tests.support.command import lastlogin
from tests.support.damage import flip_bit
from tests.support.logins import login, message
from tests.support.servers import Running
from tests.support.topics import Topics, own_topics


_PARTITIONS = 3
WAITING = "lastlogin: waiting for logins; Ctrl-C ends it"


@pytest.fixture
def topics(stack: Layout) -> Iterator[Topics]:
    """A topic of events of this test's own."""
    with own_topics(stack, partitions=_PARTITIONS) as topics:
        yield topics


class Tail:
    """`lastlogin tail` as a process, with its lines as they come."""

    def __init__(self, layout: Layout, topic: str, *arguments: str) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LASTLOGIN_")}
        environ |= {"LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS": layout.kafka_bootstrap, "LASTLOGIN_TOPICS__EVENTS": topic}
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("lastlogin"), "tail", *arguments],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._threads: list[threading.Thread] = []
        self._out = self._lines(self.process.stdout)
        self._err = self._lines(self.process.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join()

    def line(self, deadline_s: float = 15.0) -> str:
        """The next line of output."""
        return self._out.get(timeout=deadline_s)

    def complaint(self, deadline_s: float = 30.0) -> str:
        """The next line on stderr."""
        return self._err.get(timeout=deadline_s)

    def nothing_more(self) -> bool:
        """Whether no line waits."""
        return self._out.empty()

    def until_it_follows(self) -> None:
        """Wait until it says that it waits: what is published from then on is shown."""
        assert self.complaint() == WAITING

    def _lines(self, stream: Any) -> "queue.Queue[str]":
        lines: queue.Queue[str] = queue.Queue(10_000)

        def read() -> None:
            with stream:
                for line in stream:
                    lines.put(line.rstrip("\n"))

        self._threads.append(threading.Thread(target=read, daemon=True))
        self._threads[-1].start()
        return lines


def test_from_now_on_until_ctrl_c(stack: Layout, topics: Topics) -> None:
    """What is on the topic before is not shown, what comes is; it says that it waits, and ends by Ctrl-C with 0."""
    topics.publish(login("before"))

    with Tail(stack, topics.events) as tail:
        tail.until_it_follows()
        topics.publish(login("test1", ip="192.0.2.1"))
        line = tail.line()
        tail.process.send_signal(signal.SIGINT)

        assert line.split()[2:] == ["imap", "test1", "192.0.2.1", "mail1"]
        assert tail.process.wait(10) == 0
        assert tail.nothing_more()


def test_since_user_and_service(stack: Layout, topics: Topics) -> None:
    """`--since` begins at an append time; `--user` and `--service` leave out the rest; every field is in the JSON."""
    topics.publish(login("test1", service="lmtp"))
    time.sleep(0.01)
    since = datetime.now(UTC)
    wanted = login("test1", service="imap", ip="192.0.2.1")
    topics.publish(login("test1", service="lmtp"), login("test2"), login("test1", service="pop3"), wanted)

    arguments = ("--since", since.isoformat(), "--user", "test1", "--service", "imap", "--service", "pop3", "--json")
    with Tail(stack, topics.events, *arguments) as tail:
        shown = [json.loads(tail.line()) for _ in range(2)]

        assert ["pop3", "imap"] == [each["service"] for each in shown]
        partition = partition_of(b"test1", _PARTITIONS)
        assert (topics.events, partition) == (shown[1]["topic"], shown[1]["partition"])
        assert since.timestamp() * 1000 - 1 <= shown[1]["appended_at_ms"]
        assert wanted.event_id == shown[1]["event_id"]
        assert wanted.remote_ip == shown[1]["remote_ip"]


def test_user_of_another_client(stack: Layout, topics: Topics) -> None:
    """The one partition that `--user` reads is where Kafka's default partitioner of Java puts that user."""
    producer = Producer({"bootstrap.servers": stack.kafka_bootstrap, "partitioner": "murmur2_random", "log_level": 0})
    users = [f"user{number}" for number in range(6)]
    for user in users:
        value, headers = message(login(user))
        producer.produce(topics.events, value, user.encode(), headers=headers)
    assert producer.flush(20) == 0

    for user in users:
        with Tail(stack, topics.events, "--since", "1h", "--user", user) as tail:
            assert user in tail.line()


def test_record_that_is_no_event(stack: Layout, topics: Topics) -> None:
    """It is a line with reason, partition and offset, and the next event is shown."""
    topics.publish_raw(b"not an event", partition=1)
    topics.flush()
    topics.publish(login("test1"), partition=1)

    with Tail(stack, topics.events, "--since", "1h") as tail:
        assert tail.line().endswith("undecodable: unknown_framing: the value starts with 6e6f; partition 1, offset 0")
        assert "test1" in tail.line()


def test_record_that_cannot_be_read(stack: Layout, topics: Topics) -> None:
    """A damaged batch is passed, said to be from where to where, and what is before and behind it is shown."""
    for name in ("before", "damaged", "behind"):
        topics.publish(*(login(f"{name}{number}") for number in range(5)), partition=1)
    flip_bit(stack, topics.events, 1, b"damaged2")

    with Tail(stack, topics.events, "--since", "1h") as tail:
        tail.until_it_follows()
        shown = [tail.line().split()[3] for _ in range(10)]

        assert [f"{name}{number}" for name in ("before", "behind") for number in range(5)] == shown
        assert tail.complaint().startswith("lastlogin: partition 1 cannot be read at offset 5, going on behind it: ")
        assert "lastlogin: partition 1 is read again from offset 10 on" == tail.complaint()


def test_closed_pipe(stack: Layout, topics: Topics) -> None:
    """`lastlogin tail | head -1` shows one line and ends without a traceback, although no other event comes."""
    topics.publish(login())
    environ = os.environ | {
        "LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS": stack.kafka_bootstrap,
        "LASTLOGIN_TOPICS__EVENTS": topics.events,
    }
    command = f"{Path(sys.executable).with_name('lastlogin')} tail --since 1h | head -n 1"
    done = subprocess.run(["sh", "-c", command], env=environ, capture_output=True, text=True, timeout=30, check=False)

    assert (done.returncode, done.stderr) == (0, f"{WAITING}\n")
    assert done.stdout.count("\n") == 1


@pytest.mark.alone
def test_shown_at_once(stack: Layout, topics: Topics) -> None:
    """The median event is shown within 200 ms of its acknowledgement."""
    with Tail(stack, topics.events) as tail:
        tail.until_it_follows()
        seconds = []
        for number in range(50):
            topics.publish(login(f"user{number}"))
            acknowledged = time.monotonic()
            tail.line()
            seconds.append(time.monotonic() - acknowledged)
            time.sleep(0.02)

    assert statistics.median(seconds) < 0.2, f"worst {max(seconds) * 1e3:.0f} ms"


def test_no_group_and_no_topic(stack: Layout, topics: Topics) -> None:
    """A topic that is not there is one sentence and 78, and the topic is not made by asking."""
    ended = lastlogin(stack, "tail", TOPICS__EVENTS="no-such-topic")

    assert (ended.code, ended.out) == (78, "")
    assert ended.err == (
        "lastlogin: Kafka has no topic no-such-topic, or the user in [kafka] may not see it; see topics.events\n"
    )


def test_kafka_goes_away(servers: Running) -> None:
    """A Kafka that goes away is told on stderr, so is its return; what came between is shown then."""
    with own_topics(servers.layout, partitions=_PARTITIONS) as topics, Tail(servers.layout, topics.events) as tail:
        tail.until_it_follows()
        try:
            servers.kafka.stop()
            away = tail.complaint()
        finally:
            servers.kafka.start()
            servers.kafka.wait_ready()
        topics.publish(login("test1"))

        assert away == "lastlogin: Kafka does not answer; going on when it does"
        assert "test1" in tail.line(60)
        assert tail.complaint() == "lastlogin: Kafka answers again"
        assert tail.process.poll() is None
