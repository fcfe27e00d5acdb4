"""Cassandra as the consumer meets it: nodes, keyspace, table, and the role that it has."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from cassandra import DriverException, InvalidRequest, Unauthorized
from cassandra.cluster import EXEC_PROFILE_DEFAULT, NoHostAvailable, Session
from cassandra.policies import HostDistance
from cassandra.pool import Host

from lastlogin_ops.doctor import clocks, ring, table
from lastlogin_ops.doctor.ring import SETTINGS, Node, Ring
from lastlogin_ops.doctor.subject import Subject
from lastlogin_ops.doctor.table import Role
from lastlogin_ops.reader import ask
from lastlogin_schemas.columns import Columns
from lastlogin_schemas.table import TableMapping, literal, quoted
from lastlogin_service.cassandra import CassandraSettings, columns_of
from lastlogin_service.daemon_thread import in_thread
from lastlogin_service.doctor import servers
from lastlogin_service.doctor.report import Line, error, ok
from lastlogin_service.doctor.servers import Servers
from lastlogin_service.exits import CONFIG, Exit


_DEADLINE_S = 10.0
# For each of the two things that a node is asked; some of them at once.
_NODE_S = 2.0
_AT_ONCE = 16

# Not allowed, before 4.0, or silent: there are lines for that.
_UNTOLD = (DriverException, NoHostAvailable)

_CLOCK = "SELECT toUnixTimestamp(now()) FROM system.local"
_SETTINGS = f"SELECT name, value FROM system_views.settings WHERE name IN ({', '.join(map(literal, SETTINGS))})"  # noqa: S608 - constants
_KEYSPACE = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s"
_TABLE = (
    "SELECT default_time_to_live, gc_grace_seconds, compaction FROM system_schema.tables "
    "WHERE keyspace_name = %s AND table_name = %s"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What Cassandra says; `options` are None where there is no table."""

    ring: Ring
    columns: Columns
    options: Mapping[str, Any] | None
    role: Role | None
    protocol: int


def of_cassandra(settings: CassandraSettings) -> Servers:
    """The contact points."""
    points = [f"[{point}]" if ":" in point else point for point in settings.contact_points]
    return Servers(
        "cassandra",
        "cassandra.contact_points",
        [f"{point}:{settings.port}" for point in points],
        settings if settings.tls else None,
        "cassandra.contact_points or cassandra.server_hostname",
        "that port may speak no TLS: look at cassandra.tls and cassandra.port",
        settings.server_hostname,
    )


async def examine(
    subject: Subject, settings: CassandraSettings, wanted: TableMapping
) -> tuple[list[Line], Facts | None]:
    """Look at what can be judged without Kafka; the facts are None when it cannot be asked."""
    usable, lines = await servers.look(of_cassandra(settings))
    if not usable:
        return lines, None
    # What every node has of itself needs no other one.
    asking = settings.model_copy(update={"consistency": "LOCAL_ONE"})
    try:
        facts = await in_thread(lambda: ask(asking, lambda session: _facts(session, settings, wanted), _DEADLINE_S))
    except Exit as end:
        check = "cassandra.local_dc" if end.message.startswith("cassandra.local_dc") else "cassandra.login"
        do = "look at [cassandra]" if end.code == CONFIG else "look at Cassandra: logins wait in Kafka meanwhile"
        return [*lines, error(check, end.message, do)], None
    whom = f"as {settings.username}" if settings.username is not None else "without a name"
    lines.append(ok("cassandra.login", f"{'TLS' if settings.tls else 'no TLS'}, {whom}, protocol {facts.protocol}"))
    lines += ring.nodes(facts.ring, settings.local_dc)
    if facts.ring.replication:
        lines += ring.copies(facts.ring)
    lines.append(table.shape(wanted, facts.columns))
    if facts.options is not None:
        lines += table.options(wanted, facts.options)
        lines += table.right(wanted, facts.role, "MODIFY" if subject.is_consumer else "SELECT")
    return [*lines, *clocks.nodes(_ahead(facts.ring.nodes))], facts


def _ahead(nodes: Sequence[Node]) -> dict[str, float]:
    return {node.address: node.ahead_s for node in nodes if node.ahead_s is not None}


def _facts(session: Session, settings: CassandraSettings, wanted: TableMapping) -> Facts:
    # A session is there with its first node.
    wait(session._initial_connect_futures, timeout=_NODE_S)  # noqa: SLF001 - as Cluster.connect(wait_for_all_pools=True)
    hosts = session.cluster.metadata.all_hosts()
    policy = session.get_execution_profile(EXEC_PROFILE_DEFAULT).load_balancing_policy
    local = [host for host in hosts if policy.distance(host) == HostDistance.LOCAL]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        nodes = list(threads.map(lambda host: _node(session, host), local))
    nodes += [_unasked(host) for host in hosts if host not in local]
    keyspace = session.execute(_KEYSPACE, (wanted.keyspace,)).one()
    options = session.execute(_TABLE, (wanted.keyspace, wanted.table)).one()
    return Facts(
        Ring(
            nodes,
            next((host.datacenter for host in local), settings.local_dc or ""),
            wanted.keyspace,
            dict(keyspace.replication) if keyspace is not None else {},
            settings.consistency,
        ),
        columns_of(session, wanted),
        None if options is None else options._asdict(),
        _role(session, settings.username),
        session.cluster.protocol_version,
    )


def _unasked(host: Host) -> Node:
    return Node(host.address, host.datacenter, bool(host.is_up), str(host.release_version), {})


def _node(session: Session, host: Host) -> Node:
    """Ask a node itself for its time, then for its settings."""
    node = _unasked(host)
    sent = time.time()
    try:
        told = session.execute(_CLOCK, host=host, timeout=_NODE_S).one()[0] / 1000
    except _UNTOLD:
        return replace(node, answers=False)
    # Its clock was read between the two, and has milliseconds.
    ahead_s = max(0.0, told - time.time()) + min(0.0, told + 0.001 - sent)
    settings: dict[str, str | None] = {}
    with suppress(*_UNTOLD):
        settings = {row.name: row.value for row in session.execute(_SETTINGS, host=host, timeout=_NODE_S)}
    return replace(node, answers=True, ahead_s=ahead_s, settings=settings)


def _role(session: Session, name: str | None) -> Role | None:
    """What our role may do, which every role may ask of itself."""
    if name is None:
        # Only an authenticator that asks for names lets an authorizer look at rights.
        return None
    try:
        grants = {(row.resource, row.permission) for row in session.execute(f"LIST ALL PERMISSIONS OF {quoted(name)}")}
        roles = list(session.execute(f"LIST ROLES OF {quoted(name)}"))
    except (InvalidRequest, Unauthorized) as why:
        # A Cassandra that asks nobody for a name takes everybody for the same, whatever name was given.
        asks_nobody = any(sign in str(why) for sign in ("AllowAllAuthorizer", "anonymous"))
        return None if asks_nobody else Role(name, is_superuser=False, grants=None)
    return Role(name, any(row.super for row in roles), grants)
