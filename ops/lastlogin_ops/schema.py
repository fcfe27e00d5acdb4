"""What the table lacks of what `[columns]` wants: the CQL, and running it. `statements` is pure, the rest asks."""

from collections import Counter

from cassandra.cluster import Session

from lastlogin_ops.reader import ask
from lastlogin_schemas.columns import Columns, require_shape
from lastlogin_schemas.ddl import add_columns, create_keyspace, create_table
from lastlogin_schemas.table import TableMapping
from lastlogin_service.cassandra import CassandraSettings, columns_of


# Of each data centre, unless it has fewer nodes.
_REPLICAS = 3
# Nodes agree on a change of the schema within seconds.
_DEADLINE_S = 60.0

_KEYSPACE = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"


def planned(settings: CassandraSettings, wanted: TableMapping) -> list[str]:
    """CQL that is needed, in order. Raises `Exit`: what Cassandra says, or what no CQL can change (78)."""
    return ask(settings, lambda session: _planned(session, wanted))


def apply(settings: CassandraSettings, wanted: TableMapping) -> list[str]:
    """Run it, and return what was run. Safe to repeat and to interrupt. Raises as `planned`."""

    def run(session: Session) -> list[str]:
        needed = _planned(session, wanted)
        for statement in needed:
            session.execute(statement)
        return needed

    return ask(settings, run, _DEADLINE_S)


def _planned(session: Session, wanted: TableMapping) -> list[str]:
    nodes = Counter(host.datacenter for host in session.cluster.metadata.all_hosts())
    keyspace = session.execute(_KEYSPACE, (wanted.keyspace,)).one() is not None
    return statements(wanted, columns_of(session, wanted), None if keyspace else nodes)


def statements(wanted: TableMapping, columns: Columns, nodes: Counter[str] | None) -> list[str]:
    """CQL that a table with `columns` needs; none: there is no table.

    `nodes` are those of each data centre where the keyspace is to be made, too. Raises `TableNotReady`.
    """
    if columns:
        require_shape(wanted, columns)
        added = add_columns(wanted, columns)
        return [added] if added is not None else []
    made = [create_table(wanted)]
    if nodes is not None:
        replicas = {name: min(_REPLICAS, count) for name, count in nodes.items()}
        made.insert(0, create_keyspace(wanted.keyspace, replicas))
    return made
