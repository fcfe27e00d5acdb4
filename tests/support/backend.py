"""A mail backend that faults happen to: a producer with topics, a ledger of what clients were told, and the audit."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from lastlogin_stack.layout import Layout
from tests.support.audit import Findings, Stream, audit, read_spool, read_topics
from tests.support.dict_client import NOBODY_THERE, Load, write
from tests.support.http import get, samples
from tests.support.ledger import Ledger
from tests.support.producer import ProducerProcess
from tests.support.publisher import OutTopics


# As ProducerProcess sets it.
NAME = "mail1"


class Backend:
    """What the cases have in common. `directory` holds socket, spool, log and ledger."""

    def __init__(
        self, directory: Path, layout: Layout, topics: OutTopics, producer: ProducerProcess, ledger: Ledger
    ) -> None:
        self.directory = directory
        self.topics = topics
        self.producer = producer
        self.ledger = ledger
        self._metrics_port = layout.producer_metrics_port

    def load(self, prefix: str, threads: int = 4, pause_s: float = 0.0) -> Load:
        """Logins through the socket, each in the ledger."""
        return Load(self.producer.socket, prefix, threads, pause_s, self.ledger)

    def login(self, user: str) -> bytes:
        """One login, in the ledger; the reply, empty when the connection was closed. Raises OSError."""
        key, now_ms = f"shared/last-login/imap/{user}", str(time.time_ns() // 1_000_000)
        self.ledger.sent(user)
        try:
            reply = write(self.producer.socket, user, key, now_ms)
        except NOBODY_THERE:
            self.ledger.refused(user)
            raise
        self.ledger.answered(user, reply)
        return reply

    def rows_waiting(self) -> int:
        """What the producer says of its spool."""
        return int(samples(get(self._metrics_port, "/metrics").body)["lastlogin_producer_spool_rows"])

    def drained(self) -> bool:
        """Whether it runs and Kafka has everything."""
        try:
            return not self.rows_waiting()
        except OSError:
            return False

    def drain(self, deadline_s: float = 60.0) -> float:
        """Wait until Kafka has everything; return the seconds. Raises TimeoutError."""
        begun = time.monotonic()
        self.producer.wait_until(self.drained, deadline_s)
        return time.monotonic() - begun

    def finish(self) -> Findings:
        """Drain, stop the producer (it must end with 0), and audit."""
        self.drain()
        assert 0 == self.producer.stop()
        return self.audit()

    def audit(self, last: Mapping[Stream, int] | None = None) -> Findings:
        """Hold the ledger against topics and spool, of which no process may have the latter.

        `last` has the last sequences of streams that the spool no longer knows of.
        """
        found = read_topics(self.topics.kafka.bootstrap_servers[0], self.topics.events, self.topics.quarantine)
        waiting, known = asyncio.run(read_spool(self.directory / "spool", NAME))
        return audit(self.ledger.account(), [*found, *waiting], known | dict(last or {}))


def kafka_settings(layout: Layout, topics: OutTopics) -> dict[str, str]:
    """A producer's settings that make it publish to `topics`."""
    # A fixed port, for of a start that is cut short the log does not tell.
    return {"METRICS__PORT": str(layout.producer_metrics_port), **topics.producer_settings}


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which that share of them is."""
    ordered = sorted(values)
    return ordered[int(len(ordered) * share)]
