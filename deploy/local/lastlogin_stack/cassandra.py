"""One Cassandra node."""

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import WhiteListRoundRobinPolicy

from lastlogin_stack.jars import CASSANDRA_JARS, class_path
from lastlogin_stack.layout import LOOPBACK, Layout
from lastlogin_stack.server import PROBE_TIMEOUT_S, Jvm, Server, connects, find_program


# Below 192m writes become much slower.
CASSANDRA_JVM = Jvm(heap="256m")

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


def render_yaml(layout: Layout) -> str:
    """Return cassandra.yaml; what is not in it has a default."""
    return f"""\
cluster_name: lastlogin-dev
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "{LOOPBACK}:{layout.cassandra_storage_port}"}}]
listen_address: {LOOPBACK}
rpc_address: {LOOPBACK}
storage_port: {layout.cassandra_storage_port}
native_transport_port: {layout.cassandra_port}
# The default, periodic, loses the last 0.1 s of acknowledged rows on kill -9.
commitlog_sync: batch
auto_bootstrap: false
auto_snapshot: false
"""


class Cassandra(Server):
    """Cassandra 5.0 on `layout.cassandra_address`:`layout.cassandra_port`, without authentication."""

    name = "cassandra"
    start_deadline_s = 120.0
    stop_deadline_s = 30.0

    def __init__(self, layout: Layout, jvm: Jvm = CASSANDRA_JVM) -> None:
        super().__init__(layout)
        self._jvm = jvm

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports for CQL, for other nodes, and for JMX."""
        return (self.layout.cassandra_port, self.layout.cassandra_storage_port, self.layout.cassandra_jmx_port)

    def prepare(self) -> None:
        """Write cassandra.yaml and logback.xml."""
        (self.directory / "tmp").mkdir(exist_ok=True)
        (self.directory / "cassandra.yaml").write_text(render_yaml(self.layout), encoding="utf-8")
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
            f"-Dcassandra.jmx.local.port={self.layout.cassandra_jmx_port}",
            "-Dcassandra-foreground=yes",
            "-Dcassandra.skip_wait_for_gossip_to_settle=0",
            "-Dcassandra.ring_delay_ms=0",
            "-Dcassandra.superuser_setup_delay_ms=0",
            "-cp",
            class_path(CASSANDRA_JARS),
            "org.apache.cassandra.service.CassandraDaemon",
        ]

    def probe(self) -> None:
        """Ask for its version with the driver."""
        connects(self.layout.cassandra_port)
        profile = ExecutionProfile(WhiteListRoundRobinPolicy([LOOPBACK]), request_timeout=PROBE_TIMEOUT_S)
        cluster = Cluster(
            [LOOPBACK],
            port=self.layout.cassandra_port,
            connect_timeout=PROBE_TIMEOUT_S,
            control_connection_timeout=PROBE_TIMEOUT_S,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        )
        try:
            cluster.connect().execute("SELECT release_version FROM system.local")
        finally:
            cluster.shutdown()
