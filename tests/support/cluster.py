"""The cluster of three brokers, as tests break and mend it, and a producer that publishes to it."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lastlogin_stack.jars import KAFKA_JARS, class_path
from lastlogin_stack.kafka import CLUSTER, Kafka, cluster_bootstrap
from lastlogin_stack.layout import Layout
from tests.support.process import halted
from tests.support.producer import ProducerProcess
from tests.support.publisher import OutTopics


PARTITIONS = 6
# A quarter of the default, as the times for which brokers are away are scaled down.
REQUEST_TIMEOUT_MS = 5_000


class Cluster:
    """Brokers by number; any of them can be killed, halted and started again."""

    def __init__(self, layout: Layout) -> None:
        self.brokers = {node: Kafka(layout, node=node) for node in CLUSTER}
        self.servers = cluster_bootstrap(layout)

    def kill(self, *nodes: int) -> None:
        """SIGKILL these brokers."""
        for node in nodes:
            self.brokers[node].kill()

    def start(self) -> None:
        """Start those that do not run, and wait until all answer."""
        for broker in self.brokers.values():
            broker.start()
        for broker in self.brokers.values():
            broker.wait_ready()

    @contextmanager
    def halted(self, node: int) -> Iterator[None]:
        """SIGSTOP a broker while the block runs."""
        pid = self.brokers[node].process.pid()
        assert pid is not None
        with halted(pid):
            yield

    def controller(self) -> int:
        """Number of the broker that is the active controller."""
        tool = "org.apache.kafka.tools.MetadataQuorumCommand"
        command = ["java", "-Xmx128m", "-cp", class_path(KAFKA_JARS), tool]
        command += ["--bootstrap-server", ",".join(self.servers), "describe", "--status"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        return next(int(line.split()[1]) for line in said.splitlines() if line.startswith("LeaderId:"))

    @contextmanager
    def topics(self, replicas: int = 3, min_insync_replicas: int = 2) -> Iterator[OutTopics]:
        """Topics of one test, made; deleted when the brokers run again."""
        topics = OutTopics(self.servers, replicas, min_insync_replicas)
        topics.create(topics.events, PARTITIONS)
        topics.create(topics.quarantine, 1)
        try:
            yield topics
        finally:
            self.start()
            topics.delete()


class ClusterProducer(ProducerProcess):
    """A producer that publishes to the cluster."""

    def __init__(self, directory: Path, topics: OutTopics) -> None:
        super().__init__(directory, KAFKA__REQUEST_TIMEOUT_MS=str(REQUEST_TIMEOUT_MS), **topics.producer_settings)

    def value(self, metric: str) -> float:
        """A metric without labels."""
        lines = self.get("/metrics")[1].splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"lastlogin_producer_{metric} "))

    def drained(self, deadline_s: float = 60.0) -> None:
        """Wait until Kafka has everything."""
        self.wait_until(lambda: self.value("spool_rows") == 0, deadline_s)

    def at_rest(self, seconds: float) -> tuple[float, float]:
        """Share of a core, and log lines a second, over so many seconds in which nobody logs in."""
        cpu, lines, begun = self.cpu_s(), len(self.output().splitlines()), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - begun
        return (self.cpu_s() - cpu) / took, (len(self.output().splitlines()) - lines) / took
