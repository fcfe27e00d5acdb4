"""How to reach Cassandra. Only programs that do import this module: a mail backend has no driver."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from cassandra import ConsistencyLevel, OperationTimedOut
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.connection import ConnectionException, ProtocolError
from cassandra.io.libevreactor import LibevConnection
from cassandra.policies import DCAwareRoundRobinPolicy, ExponentialReconnectionPolicy, TokenAwarePolicy
from pydantic import Field, SecretStr

from lastlogin_schemas.columns import Column
from lastlogin_schemas.table import TableMapping
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.settings import Host, Section, matching
from lastlogin_service.tls import certificate_problems, client_context, speaks_tls


# Cassandra's own rule for keyspaces and tables. Names are quoted in all our CQL: capitals count.
IDENTIFIER = r"\w{1,48}"
IDENTIFIER_ALLOWED = "must be a name of up to 48 letters, digits and underscores"
Identifier = Annotated[str, matching(IDENTIFIER, IDENTIFIER_ALLOWED)]
_RECONNECT_FIRST_S = 1.0
# A cluster that is back must be in use within 30 s, jitter and retry included; the driver's default is ten minutes.
_RECONNECT_CAP_S = 15.0
# A dead connection is noticed after two of these, well inside the request timeout's neighbourhood.
_HEARTBEAT_S = 10
_CONNECT_TIMEOUT_S = 5
_PROBE_S = 2.0
_SPEAKS_TLS = "the port speaks TLS"

_COLUMNS = (
    "SELECT column_name, kind, type, position FROM system_schema.columns WHERE keyspace_name = %s AND table_name = %s"
)

# What the driver's errors contain where a node answers and cannot be talked to as configured, and what to look at.
_MISFITS = (
    ("certificate has expired", "Cassandra's certificate has expired and must be renewed"),
    ("certificate is not valid for", "Cassandra's certificate is of another name, check cassandra.server_hostname"),
    ("CERTIFICATE_VERIFY_FAILED", "Cassandra's certificate is not trusted, check cassandra.ca_file"),
    ("WRONG_VERSION_NUMBER", "Cassandra's port speaks no TLS, check cassandra.tls and cassandra.port"),
    (_SPEAKS_TLS, "Cassandra's port speaks TLS, set cassandra.tls or check cassandra.port"),
    ("protocol version", "try cassandra.protocol_version = 4"),
)
# What the driver raises when a node has taken the connection, and closed it or said nothing that it understands.
_REACHED = (ConnectionResetError, ConnectionException, ProtocolError, OperationTimedOut)


class CassandraSettings(Section):
    """`[cassandra]`: nodes, encryption, login, and the table."""

    contact_points: list[Host] = Field(min_length=1, max_length=100)
    port: int = Field(default=9042, ge=1, le=65_535)
    # None: the data centre of the first contact point that answers.
    local_dc: Annotated[str, Field(min_length=1)] | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    # The name in the nodes' certificates when it is not the address they are reached by.
    server_hostname: Host | None = None
    consistency: Literal["LOCAL_QUORUM", "QUORUM", "EACH_QUORUM", "LOCAL_ONE", "ONE", "TWO", "THREE", "ALL"] = (
        "LOCAL_QUORUM"
    )
    keyspace: Identifier = "statsdb"
    table: Identifier = "dovecot_stats"
    # 5 is Cassandra 4.0 and later, with checksums on the wire; 4 also speaks to 3.11.
    protocol_version: int = Field(default=5, ge=4, le=5)
    # Above the server's own write_request_timeout (2 s, 10 s in newer versions): it answers before we give up.
    request_timeout_s: float = Field(default=12.0, ge=1, le=300)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Half a login, and TLS settings that would silently stay unused."""
        if self.username is not None and self.password is None:
            yield "password", "must be given (or password_file), because username is given"
        if self.password is not None and self.username is None:
            yield "username", "must be given, because a password is given"
        if self.tls:
            yield from certificate_problems(self)
        else:
            for key in ("ca_file", "cert_file", "key_file", "server_hostname"):
                if getattr(self, key) is not None:
                    yield key, "must not be given, because tls is false"


def misfit(cause: str) -> str | None:
    """Return what to look at when `cause`, the driver's words, says that a setting does not fit the node."""
    return next((what for sign, what in _MISFITS if sign in cause), None)


def build_cluster(settings: CassandraSettings) -> Cluster:
    """Make a cluster that is not connected yet: `connect` and `shutdown()` are the caller's.

    Raises `cassandra.UnresolvableContactPoints` when no name resolves, and `Exit(78)` for unusable certificates.

    Compression is off: it costs more CPU per request than our rows are worth. Replicas are not shuffled: the first one
    coordinates, and the consumer groups its rows by that.
    """
    context = None
    if settings.tls:
        try:
            context = client_context(settings)
        except OSError as error:
            raise Exit(CONFIG, f"the certificates in [cassandra] cannot be used: {error}") from None
    login = None
    if settings.username is not None and settings.password is not None:
        login = PlainTextAuthProvider(settings.username, settings.password.get_secret_value())
    nearest = DCAwareRoundRobinPolicy(settings.local_dc) if settings.local_dc else DCAwareRoundRobinPolicy()
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(nearest),
        consistency_level=ConsistencyLevel.name_to_value[settings.consistency],
        request_timeout=settings.request_timeout_s,
    )
    return Cluster(
        settings.contact_points,
        port=settings.port,
        auth_provider=login,
        ssl_context=context,
        ssl_options={"server_hostname": settings.server_hostname} if settings.server_hostname else None,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        protocol_version=settings.protocol_version,
        connection_class=LibevConnection,
        compression=False,
        connect_timeout=_CONNECT_TIMEOUT_S,
        control_connection_timeout=_CONNECT_TIMEOUT_S,
        idle_heartbeat_interval=_HEARTBEAT_S,
        idle_heartbeat_timeout=_HEARTBEAT_S,
        reconnection_policy=ExponentialReconnectionPolicy(_RECONNECT_FIRST_S, _RECONNECT_CAP_S, max_attempts=None),
        application_name="lastlogin",
        monitor_reporting_enabled=False,
    )


def connect(cluster: Cluster, local_dc: str | None) -> Session:
    """Connect. Raises what the driver does, and `Exit(78)` when Cassandra answers and has no such data centre."""
    try:
        return cluster.connect()
    except NoHostAvailable as error:
        # Known as soon as one node has answered, whether or not its data centre is ours.
        found = sorted({host.datacenter for host in cluster.metadata.all_hosts() if host.datacenter})
        if local_dc is not None and found and local_dc not in found:
            there = ", ".join(found)
            raise Exit(
                CONFIG, f"cassandra.local_dc: {local_dc} - Cassandra has no such data centre; it has {there}"
            ) from None
        if isinstance(error.errors, dict) and cluster.ssl_context is None:
            _tell_tls(error.errors)
        raise


def _tell_tls(errors: dict[str, Any]) -> None:
    """Add to the errors by node that one speaks TLS, if it does: one that was reached is tried, within seconds.

    Cassandra says nothing to what is no TLS, and the driver's error is that of any node that dies.
    """
    for node, cause in errors.items():
        if isinstance(cause, _REACHED):
            host, _, port = node.rpartition(":")
            if speaks_tls((host, int(port)), _PROBE_S):
                errors[node] = ConnectionError(f"{cause}, and {_SPEAKS_TLS}")
            return


def columns_of(session: Session, wanted: TableMapping) -> dict[str, Column]:
    """Columns of the table by name, none where there is no table. Raises what the driver does."""
    rows = session.execute(_COLUMNS, (wanted.keyspace, wanted.table))
    return {row.column_name: Column(row.kind, row.type, row.position) for row in rows}
