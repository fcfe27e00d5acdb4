"""A session with prepared statements for the table as Cassandra has it. Blocking: for threads of its own."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import sample
from typing import Any

import structlog
from cassandra import (
    AuthenticationFailed,
    InvalidRequest,
    OperationTimedOut,
    Unauthorized,
    Unavailable,
    UnresolvableContactPoints,
    WriteTimeout,
)
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, NoHostAvailable, Session
from cassandra.policies import HostDistance
from cassandra.pool import Host
from cassandra.protocol import ErrorMessage, OverloadedErrorMessage

from lastlogin_consumer.batch_request import (
    BatchHandler,
    ExpiringRowFormat,
    PackedBatch,
    RowFormat,
    StatementsForgotten,
)
from lastlogin_consumer.decode import Login
from lastlogin_consumer.ring import Topology
from lastlogin_schemas.columns import require_columns, usable_part
from lastlogin_schemas.ddl import plain
from lastlogin_schemas.errors import TableNotReady
from lastlogin_schemas.table import TableMapping, insert_cql
from lastlogin_service.cassandra import CassandraSettings, build_cluster, columns_of, connect, misfit
from lastlogin_service.exits import Exit


# Nodes that are asked what keeps the driver from all of them; each may take the time-out of a connection.
_KNOCKS = 3

# Token and key, in hexadecimal.
_KEY = re.compile(r"(0x)?DecoratedKey\([^)]*\)|(?<=Top keys are: ).*")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OpenTable:
    """One session with the table; `formats` are those of the services that have columns."""

    cluster: Cluster
    session: Session
    mapping: TableMapping
    formats: Mapping[str, RowFormat]
    topology: Topology

    def batch(self, logins: Sequence[Login]) -> PackedBatch:
        """INSERT each login under its own time, in one request to the node that coordinates the first one."""
        formats = self.formats
        rows = [formats[login.service].pack(login) for login in logins]
        first = logins[0]
        return PackedBatch(rows, self.mapping.partition_key(first.user, first.service), self.mapping.keyspace)

    @property
    def key(self) -> Callable[[Login], bytes] | None:
        """Partition key of a login's row; None where that is the user alone."""
        mapping = self.mapping
        return None if mapping.is_by_user else lambda login: mapping.partition_key(login.user, login.service)

    @property
    def local_dc(self) -> str:
        """The data centre that coordinates."""
        hosts = self.cluster.metadata.all_hosts()
        return next((host.datacenter for host in hosts if _is_local(self.session, host)), "none")

    def prepared_again(self) -> "OpenTable":
        """Look at the table once more, and prepare anew what a node has forgotten, in the same session. Blocks.

        Raises `TableNotReady` when it no longer has the columns that are written, and what the driver raises.
        """
        found = _look_up(self.session, self.mapping)
        require_columns(self.mapping, found)
        return replace(self, mapping=found, formats=_formats(self.session, found))

    def knock(self) -> None:
        """Make a connection to a node that may coordinate, and end it. Blocks. Raises what keeps us from them."""
        errors: dict[Any, Exception] = {}
        hosts = [host for host in self.cluster.metadata.all_hosts() if _is_local(self.session, host)]
        for host in sample(hosts, min(_KNOCKS, len(hosts))):
            try:
                self.cluster.connection_factory(host.endpoint).close()
            except Exception as error:  # noqa: BLE001 - the driver's errors have no common base
                errors[host] = error
            else:
                return
        raise NoHostAvailable("No node lets us in", errors)

    def close(self) -> None:
        """Disconnect."""
        self.cluster.shutdown()


def open_table(settings: CassandraSettings, wanted: TableMapping) -> OpenTable:
    """Connect, look which of the wanted columns there are, and prepare the statements.

    Raises `TableNotReady`, what the driver raises while Cassandra is away, and `Exit(78)`.
    """
    cluster = build_cluster(settings)
    try:
        # Nor prepare everything on a node that comes back, without having looked.
        cluster.reprepare_on_up = False
        session = connect(cluster, settings.local_dc)
        session.client_protocol_handler = BatchHandler
        mapping = _look_up(session, wanted)
        formats = _formats(session, mapping)
    except BaseException:  # whatever it is, the driver's threads must end; passed on
        cluster.shutdown()
        raise
    topology = Topology(
        cluster.metadata,
        mapping.keyspace,
        lambda host: bool(host.is_up) and _is_local(session, host),
    )
    return OpenTable(cluster, session, mapping, formats, topology)


def _is_local(session: Session, host: Host) -> bool:
    """Whether it is in the data centre that coordinates."""
    policy = session.get_execution_profile(EXEC_PROFILE_DEFAULT).load_balancing_policy
    return bool(policy.distance(host) == HostDistance.LOCAL)


def _look_up(session: Session, wanted: TableMapping) -> TableMapping:
    return usable_part(wanted, columns_of(session, wanted))


def _formats(session: Session, mapping: TableMapping) -> dict[str, RowFormat]:
    make = RowFormat if mapping.ttl_s is None else partial(ExpiringRowFormat, ttl_s=mapping.ttl_s)
    return {
        service: make(
            session.prepare(insert_cql(mapping, service)),
            address=columns.address is not None,
            service=service if mapping.service is not None else None,
        )
        for service, columns in mapping.services.items()
    }


def log_columns(wanted: TableMapping, found: TableMapping) -> None:
    """Say what is not written because the table has no column for it."""
    for service, columns in wanted.services.items():
        if service not in found.services:
            _log.warning(
                "The table has no column for this service; its logins are not written until one is added "
                "(`lastlogin schema apply`) and the consumer restarted",
                action="column_missing",
                service=service,
                column=columns.time,
            )
        elif columns.address is not None and found.services[service].address is None:
            _log.warning(
                "The table has no address column for this service; times are written without",
                action="column_missing",
                service=service,
                column=columns.address,
            )


def explain(error: BaseException) -> str:
    """Say in a sentence what `error` means and what to do about it, without what users or rows it was about."""
    if isinstance(error, TableNotReady | Exit):
        return str(error)
    causes = list(_causes(error))
    if (wrong := _misfit(error)) is not None:
        return wrong
    for cause in (*causes, error):
        for known, sentence in _SENTENCES:
            if isinstance(cause, known):
                return sentence.format(_short(cause))
    return type(error).__name__


def is_wrong(error: BaseException) -> bool:
    """Whether a person must change something before Cassandra can be used: it answers, and refuses."""
    return _misfit(error) is not None or any(isinstance(each, _REFUSALS) for each in (*_causes(error), error))


def all_given_up(error: BaseException) -> bool:
    """Whether the driver has asked no node at all, for it takes all to be down; why, it tells nobody."""
    return isinstance(error, NoHostAvailable) and not error.errors


def _misfit(error: BaseException) -> str | None:
    return next(filter(None, (misfit(str(each)) for each in _causes(error))), None)


def _causes(error: BaseException) -> Collection[BaseException]:
    # A plain list of addresses when no node was even tried.
    return error.errors.values() if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict) else ()


_REFUSALS = (TableNotReady, AuthenticationFailed, Unauthorized, InvalidRequest)

# The first that fits; `{}` is the server's own words.
_SENTENCES: tuple[tuple[type[BaseException], str], ...] = (
    (AuthenticationFailed, "Cassandra refuses the login: check username and password in [cassandra]"),
    (Unauthorized, "missing rights: {}"),
    (StatementsForgotten, "the table is not as it was at the start, see `lastlogin schema plan`: {}"),
    (InvalidRequest, "Cassandra refuses: {}"),
    (Unavailable, "too few replicas are up for the consistency level"),
    (WriteTimeout, "the replicas did not answer in time"),
    (OverloadedErrorMessage, "the nodes are overloaded"),
    (ErrorMessage, "the nodes answer with an error: {}"),
    (OperationTimedOut, "no answer in time"),
    (UnresolvableContactPoints, "no name in contact_points can be resolved"),
    (NoHostAvailable, "no node answers: is Cassandra up, are contact_points and port right?"),
)


# "User lastlogin has no MODIFY permission on <table statsdb.dovecot_stats> or any of its parents".
_NO_RIGHT = re.compile(r"User (\S+) has no (\w+) permission on <table ([^.>]+)\.([^>]+)>")


def _short(error: object) -> str:
    # The server's own words name columns, tables and roles; the one value among them is the key of a denied partition.
    words = _KEY.sub("key", " ".join(str(error).split()))
    if (found := _NO_RIGHT.search(words)) is None:
        return words[:200]
    role, right, keyspace, table = found.groups()
    return f"{words[:200]}; in cqlsh: GRANT {right} ON TABLE {plain(keyspace)}.{plain(table)} TO {plain(role)}"
