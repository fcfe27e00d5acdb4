"""The columns that a table has, against those that are wanted: for whoever writes, reads or makes it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from lastlogin_schemas.ddl import add_columns, create_table, name_of
from lastlogin_schemas.errors import TableNotReady
from lastlogin_schemas.table import TableMapping


_APPLY = "`lastlogin schema apply`, or in cqlsh"


class Column(NamedTuple):
    """A column as `system_schema.columns` has it: `partition_key`, `clustering`, `regular` or `static`; CQL type.

    `position` is that among the columns of the partition key, or of the clustering.
    """

    kind: str
    type: str
    position: int = -1


# By name; none where there is no table.
Columns = Mapping[str, Column]


def usable_part(wanted: TableMapping, columns: Columns) -> TableMapping:
    """Return the services and addresses that the table has, and its partition key.

    Raises `TableNotReady` when it has none, or is another table.
    """
    name = name_of(wanted)
    if not columns:
        folded = "" if name == name.lower() else " (names made without quotes are in small letters)"
        raise TableNotReady(
            f"there is no table {name}{folded}: check cassandra.keyspace and cassandra.table, or make it with "
            f"{_APPLY}: {create_table(wanted)}"
        )
    found = wanted.restricted_to(columns)
    require_shape(found, columns)
    if not found.services:
        times = dict.fromkeys(service.time for service in wanted.services.values())
        raise TableNotReady(
            f"the table {name} has none of the columns {', '.join(times)}; see [columns], or add them with {_APPLY}: "
            f"{add_columns(wanted, columns)}"
        )
    return replace(found, partition=tuple(_key_columns(columns, "partition_key")))


def require_shape(wanted: TableMapping, columns: Columns) -> None:
    """Raise `TableNotReady` for what no CQL can change: another key, or columns of another type.

    Values are serialized by hand: such a column would take them for something else.
    """
    name = name_of(wanted)
    partition, clustering = _key_columns(columns, "partition_key"), _key_columns(columns, "clustering")
    # Partitions of a service alone would hold all users.
    if sorted(partition + clustering) != sorted(wanted.key) or wanted.user not in partition:
        first = f"({', '.join(partition)})" if len(partition) > 1 else partition[0]
        raise TableNotReady(
            f"the primary key of the table {name} is ({', '.join([first, *clustering])}), must be "
            f"({', '.join(wanted.key)}); say in [columns] what its columns hold, or name another table in "
            "cassandra.table"
        )
    wrong = {
        column: f"{column} is {_form(columns[column])}, must be {type_name}"
        for column, type_name in wanted.columns()
        if column in columns and _form(columns[column]) != type_name
    }
    if not wrong:
        return
    mend = "Cassandra cannot change it: make another table, and name it in cassandra.table"
    addresses = {each.address for each in wanted.services.values() if each.address is not None} & columns.keys()
    other = "text" if wanted.address_type == "inet" else "inet"
    if wrong.keys() <= addresses and all(columns[address].type == other for address in addresses):
        mend = f'set columns.address_type = "{other}"'
    raise TableNotReady(f"columns of the table {name} have another type: {', '.join(wrong.values())}; {mend}")


def _key_columns(columns: Columns, kind: str) -> list[str]:
    """Columns of the partition key, or of the clustering, in their order."""
    return sorted((name for name in columns if columns[name].kind == kind), key=lambda name: columns[name].position)


def _form(column: Column) -> str:
    # One of a static column is of a whole partition.
    return f"static {column.type}" if column.kind == "static" else column.type


def lost_columns(before: TableMapping, after: TableMapping) -> list[str]:
    """Columns that were written and are gone: to go on without them would be to lose logins silently."""
    return sorted({name for name, _ in before.columns()} - {name for name, _ in after.columns()})


def require_columns(before: TableMapping, after: TableMapping) -> None:
    """Raise `TableNotReady` when the table has lost columns that were written."""
    if lost := lost_columns(before, after):
        cql = add_columns(before, {name for name, _ in after.columns()})
        raise TableNotReady(f"the table has lost {', '.join(lost)}; add them with {_APPLY}: {cql}")
