"""Cassandra: one node, or a ring of three."""

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import WhiteListRoundRobinPolicy

from lastlogin_stack.jars import CASSANDRA_JARS, class_path
from lastlogin_stack.layout import LOOPBACK, Layout
from lastlogin_stack.server import PROBE_TIMEOUT_S, Jvm, Server, connects, find_program


# Below 192m writes become much slower.
CASSANDRA_JVM = Jvm(heap="256m")
# Nodes of the ring; each row is on all of them, and two must have it before it is acknowledged.
RING = (1, 2, 3)
RING_DATA_CENTER = "datacenter1"  # as Cassandra calls that of a single node
# More than one range a node, as in production; few, for each costs time at the start.
_RING_TOKENS = 4

_LOGBACK = """\
<configuration>
  <appender name="S" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %d{HH:mm:ss.SSS} %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="S"/></root>
</configuration>
"""

# What Cassandra 5.0 needs to run on Java 17 (its own conf/jvm17-server.options): packages it may use, and open.
_EXPORTS = (
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.base/java.lang.ref",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
)
_OPENS = (
    "java.base/java.lang.module",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.util.jar",
    "jdk.management/com.sun.management.internal",
    "java.base/sun.nio.ch",
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/java.lang",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.net",
    "java.base/java.lang.reflect",
)
JAVA_17_FLAGS = (
    "-Djdk.attach.allowAttachSelf=true",
    "-Dio.netty.tryReflectionSetAccessible=true",
    *(f"--add-exports={package}=ALL-UNNAMED" for package in _EXPORTS),
    *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENS),
)


def ring_address(node: int) -> str:
    """Address of a node (1 to 3) of the ring; all of 127.0.0.0/8 is there without being set up."""
    return f"127.0.0.{node}"


# The default, periodic, loses the last 0.1 s of acknowledged rows on kill -9.
_SYNCED = "commitlog_sync: batch"
# The default in words, for it must be said whole.
PERIODIC = "commitlog_sync: periodic\ncommitlog_sync_period: 10s"


def render_yaml(layout: Layout, node: int | None = None, commit_log: str = _SYNCED) -> str:
    """Return cassandra.yaml, with `node` of that node of three; what is not in it has a default."""
    if node is None:
        address, seeds = LOOPBACK, [LOOPBACK]
        cql, storage = layout.cassandra_port, layout.cassandra_storage_port
        ring = "num_tokens: 1\nendpoint_snitch: SimpleSnitch\n"
    else:
        # All are seeds: so they start at once, and again at once, without waiting for each other.
        address, seeds = ring_address(node), [ring_address(each) for each in RING]
        cql, storage = layout.ring_port, layout.ring_storage_port
        tokens = ", ".join(map(str, _tokens(node)))
        # This snitch, without scores, has a node read its own copy first: tests look at what each node has.
        ring = f"""\
num_tokens: {_RING_TOKENS}
initial_token: "{tokens}"
endpoint_snitch: GossipingPropertyFileSnitch
dynamic_snitch: false
"""
    return f"""\
cluster_name: lastlogin-dev
{ring}partitioner: org.apache.cassandra.dht.Murmur3Partitioner
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "{", ".join(f"{seed}:{storage}" for seed in seeds)}"}}]
listen_address: {address}
rpc_address: {address}
storage_port: {storage}
native_transport_port: {cql}
{commit_log}
auto_bootstrap: false
auto_snapshot: false
"""


def _tokens(node: int) -> list[int]:
    """Every third of evenly spaced tokens; random ones would give the nodes uneven shares."""
    ranges = _RING_TOKENS * len(RING)
    return [-(2**63) + (2**64 * number) // ranges for number in range(node - 1, ranges, len(RING))]


class Cassandra(Server):
    """Cassandra 5.0 on `layout.cassandra_port`, without authentication; with `node` that node of the ring."""

    name = "cassandra"
    start_deadline_s = 120.0
    stop_deadline_s = 30.0

    def __init__(
        self, layout: Layout, jvm: Jvm = CASSANDRA_JVM, node: int | None = None, commit_log: str = _SYNCED
    ) -> None:
        if node is not None:
            self.name = f"cassandra{node}"
            self.address = ring_address(node)
        super().__init__(layout)
        self._jvm = jvm
        self._node = node
        self._commit_log = commit_log

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports for CQL, for other nodes, and for JMX, which is on 127.0.0.1 whatever the node's address."""
        layout = self.layout
        if self._node is None:
            return (layout.cassandra_port, layout.cassandra_storage_port, layout.cassandra_jmx_port)
        return (layout.ring_port, layout.ring_storage_port, layout.ring_jmx_port(self._node))

    def prepare(self) -> None:
        """Write cassandra.yaml, logback.xml, and where a node of the ring stands."""
        (self.directory / "tmp").mkdir(exist_ok=True)
        yaml = render_yaml(self.layout, self._node, self._commit_log)
        (self.directory / "cassandra.yaml").write_text(yaml, encoding="utf-8")
        rack = f"dc={RING_DATA_CENTER}\nrack=rack1\n"
        (self.directory / "cassandra-rackdc.properties").write_text(rack, encoding="utf-8")
        (self.directory / "logback.xml").write_text(_LOGBACK, encoding="utf-8")

    def command(self) -> list[str]:
        """Return the node's command; it stays in the foreground and waits for no other node."""
        return [
            find_program("java"),
            *self._jvm.arguments(self.directory / "tmp"),
            *JAVA_17_FLAGS,
            f"-Dcassandra.config={(self.directory / 'cassandra.yaml').as_uri()}",
            f"-Dcassandra.storagedir={self.directory / 'data'}",
            f"-Dlogback.configurationFile={self.directory / 'logback.xml'}",
            f"-Dcassandra-rackdc.properties={(self.directory / 'cassandra-rackdc.properties').as_uri()}",
            f"-Dcassandra.jmx.local.port={self.ports[-1]}",
            "-Dcassandra-foreground=yes",
            "-Dcassandra.skip_wait_for_gossip_to_settle=0",
            "-Dcassandra.ring_delay_ms=0",
            "-Dcassandra.superuser_setup_delay_ms=0",
            "-cp",
            class_path(CASSANDRA_JARS),
            "org.apache.cassandra.service.CassandraDaemon",
        ]

    def probe(self) -> None:
        """Ask for its version with the driver. Raises LookupError while a node of the ring does not know all others."""
        cql = self.ports[0]
        connects(self.address, cql)
        profile = ExecutionProfile(WhiteListRoundRobinPolicy([self.address]), request_timeout=PROBE_TIMEOUT_S)
        cluster = Cluster(
            [self.address],
            port=cql,
            connect_timeout=PROBE_TIMEOUT_S,
            control_connection_timeout=PROBE_TIMEOUT_S,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        )
        try:
            cluster.connect().execute("SELECT release_version FROM system.local")
            if self._node is not None and len(cluster.metadata.all_hosts()) < len(RING):
                raise LookupError
        finally:
            cluster.shutdown()
