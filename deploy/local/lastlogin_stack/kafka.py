"""Kafka in KRaft mode, broker and controller in one process: one broker, or a cluster of three."""

import asyncio
from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from lastlogin_stack.jars import KAFKA_JARS, class_path
from lastlogin_stack.layout import LOOPBACK, Layout
from lastlogin_stack.server import PROBE_TIMEOUT_S, Jvm, Server, connects, find_program


# Holds 200 000 records of 300 bytes; below 128m nothing is gained in resident memory.
KAFKA_JVM = Jvm(heap="128m")
# Brokers of the cluster; each topic of ours is on all of them, and two must have a message before it is acknowledged.
CLUSTER = (1, 2, 3)
CLUSTER_MIN_INSYNC_REPLICAS = 2
# Any 22-character id; a fixed one lets a formatted directory be formatted again without complaint.
_CLUSTER_ID = "bGFzdGxvZ2luLWRldg-AAA"


def cluster_bootstrap(layout: Layout) -> list[str]:
    """`host:port` of each broker of the cluster."""
    return [f"{LOOPBACK}:{layout.cluster_port(node)}" for node in CLUSTER]


def render_properties(layout: Layout, properties: Mapping[str, str], node: int | None = None) -> str:
    """Return server.properties: ours, overridden and extended by `properties`; with `node` of that broker of three."""
    if node is None:
        name, number, port, controllers = "kafka", 1, layout.kafka_port, {1: layout.kafka_controller_port}
    else:
        name, number, port = f"kafka{node}", node, layout.cluster_port(node)
        controllers = {each: layout.cluster_controller_port(each) for each in CLUSTER}
    ours = {
        "process.roles": "broker,controller",
        "node.id": str(number),
        "controller.quorum.voters": ",".join(f"{each}@{LOOPBACK}:{its}" for each, its in controllers.items()),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controllers[number]}",
        "log.dirs": str(layout.server_directory(name) / "data"),
        "offsets.topic.replication.factor": str(len(controllers)),
        "offsets.topic.num.partitions": "6",
        "transaction.state.log.replication.factor": str(len(controllers)),
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # The default of 128 MB does not fit into our heap.
        "log.cleaner.dedupe.buffer.size": "4194304",
        # A request's first four bytes are its length; room for it is made at once: a client of another protocol, such
        # as CQL (67 MB), takes the whole heap with the default of 100 MB. Batches of the tests have 4 MB at most.
        "socket.request.max.bytes": "16777216",
        "queued.max.request.bytes": "33554432",
        "auto.create.topics.enable": "false",
        # After kill -9 a broker waits until its old registration has timed out: 5 s with these, 12 s without.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
    }
    return "".join(f"{key}={value}\n" for key, value in (ours | dict(properties)).items())


class Kafka(Server):
    """Kafka 4.3 on `layout.kafka_bootstrap`, without authentication; with `node` that broker of the cluster.

    `properties` go into server.properties above ours.
    """

    name = "kafka"
    stop_deadline_s = 10.0

    def __init__(
        self,
        layout: Layout,
        jvm: Jvm = KAFKA_JVM,
        properties: Mapping[str, str] | None = None,
        node: int | None = None,
    ) -> None:
        if node is not None:
            self.name = f"kafka{node}"
        super().__init__(layout)
        self._jvm = jvm
        self._properties = properties or {}
        self._node = node

    @property
    def ports(self) -> tuple[int, ...]:
        """The clients' port and the controller's."""
        if self._node is None:
            return (self.layout.kafka_port, self.layout.kafka_controller_port)
        return (self.layout.cluster_port(self._node), self.layout.cluster_controller_port(self._node))

    def prepare(self) -> None:
        """Write server.properties."""
        (self.directory / "tmp").mkdir(exist_ok=True)
        (self.directory / "server.properties").write_text(
            render_properties(self.layout, self._properties, self._node), encoding="utf-8"
        )

    def command(self) -> list[str]:
        """Return the broker's command, after formatting the data directory when it is new."""
        broker = [*self._java(), "kafka.Kafka", "server.properties"]
        # Formatting writes this file last.
        if (self.directory / "data" / "meta.properties").exists():
            return broker
        format_data = [*self._java(), "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        format_data += ["-t", _CLUSTER_ID, "-c", "server.properties"]
        # One shell which becomes the broker: nothing waits for the format, and the pid stays the same.
        split = str(len(format_data))
        script = 'n=$1; shift; "${@:1:n}" && shift "$n" && exec "$@"'
        return [find_program("bash"), "-c", script, "kafka", split, *format_data, *broker]

    def probe(self) -> None:
        """Ask for its metadata, and the controller whether it would make a topic. Raises LookupError when not."""
        connects(self.address, self.ports[0])
        asyncio.run(_would_make_a_topic(self.endpoint))

    def _java(self) -> list[str]:
        return [
            find_program("java"),
            *self._jvm.arguments(self.directory / "tmp"),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-cp",
            class_path(KAFKA_JARS),
        ]


async def _would_make_a_topic(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=int(PROBE_TIMEOUT_S * 1000))
    # The client's timeout is for each of its steps.
    async with asyncio.timeout(2 * PROBE_TIMEOUT_S):
        try:
            # Metadata of the broker itself; it has them also when nothing can be written any more.
            await admin.start()
            answer = await admin.create_topics([NewTopic("lastlogin-probe", 1, 1)], validate_only=True)
        finally:
            await admin.close()
    if any(code for _, code, *_ in answer.topic_errors):
        raise LookupError
