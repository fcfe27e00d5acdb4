"""Three brokers and three nodes, as tests break and mend them, and a producer that publishes to the brokers."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from lastlogin_stack.jars import KAFKA_JARS, class_path
from lastlogin_stack.kafka import CLUSTER, Kafka, cluster_bootstrap
from lastlogin_stack.layout import Layout
from lastlogin_stack.server import Server
from tests.support.process import halted
from tests.support.producer import ProducerProcess
from tests.support.publisher import OutTopics


PARTITIONS = 6
# A quarter of the default, as the times for which brokers are away are scaled down.
REQUEST_TIMEOUT_MS = 5_000


class Members:
    """Servers by number; any of them can be killed, stopped, halted and started again."""

    def __init__(self, members: Mapping[int, Server]) -> None:
        self._members = members

    def kill(self, *numbers: int) -> None:
        """SIGKILL these, without a pause between them."""
        for number in numbers:
            self._members[number].kill()

    def stop(self, *numbers: int) -> None:
        """SIGTERM these at once, and wait until they have ended."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda number: self._members[number].stop(), numbers))

    def start(self) -> None:
        """Start those that do not run, and wait until all answer."""
        for server in self._members.values():
            server.start()
        for server in self._members.values():
            server.wait_ready()

    @contextmanager
    def halted(self, number: int) -> Iterator[None]:
        """SIGSTOP one while the block runs."""
        pid = self._members[number].process.pid()
        assert pid is not None
        with halted(pid):
            yield


class Cluster(Members):
    """The three Kafka brokers."""

    def __init__(self, layout: Layout) -> None:
        super().__init__({node: Kafka(layout, node=node) for node in CLUSTER})
        self.servers = cluster_bootstrap(layout)

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
