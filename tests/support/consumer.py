"""The consumer as a process of its own, on topics of a test's own."""

from pathlib import Path
from uuid import uuid4

from lastlogin_stack.layout import Layout
from tests.support.process import ServiceProcess
from tests.support.topics import Topics


class ConsumerProcess(ServiceProcess):
    """`lastlogin-consumer`; `settings` are variables without their prefix."""

    def __init__(self, layout: Layout, topics: Topics, directory: Path, **settings: str) -> None:
        self.group = topics.events
        own = {
            "GROUP": self.group,
            "KAFKA__BOOTSTRAP_SERVERS": layout.kafka_bootstrap,
            "TOPICS__EVENTS": topics.events,
            "TOPICS__DEAD_LETTERS": topics.dead_letters,
            "CASSANDRA__CONTACT_POINTS": layout.cassandra_address,
            "CASSANDRA__PORT": str(layout.cassandra_port),
            "LOG__FORMAT": "json",
            **settings,
        }
        super().__init__("lastlogin-consumer", directory / f"consumer-{uuid4().hex[:8]}.log", own)

    def partitions(self) -> list[int]:
        """Partitions that it has been given last."""
        lines = [line for action in ("assigned", "revoked") for line in self.said(action)]
        last = max(lines, key=lambda line: str(line["timestamp"]), default=None)
        return list(last["partitions"]) if last is not None and last["action"] == "assigned" else []
