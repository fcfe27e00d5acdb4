"""The columns that the table has, against those that we write. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from lastlogin_consumer.errors import TableNotReady
from lastlogin_schemas.ddl import add_columns, create_table
from lastlogin_schemas.table import TableMapping


_APPLY = "`lastlogin schema apply`, or in cqlsh"


class Column(NamedTuple):
    """A column as `system_schema.columns` has it: `partition_key`, `clustering`, `regular` or `static`; CQL type.

    `position` is that among the columns of the partition key, or of the clustering.
    """

    kind: str
    type: str
    position: int = -1


def usable_part(wanted: TableMapping, columns: Mapping[str, Column]) -> TableMapping:
    """Return the services and addresses that the table can take.

    Raises `TableNotReady` when it can take none, or when a column is not what our bytes are meant for: they are
    serialized by hand, and would be stored as something else.
    """
    name = f"{wanted.keyspace}.{wanted.table}"
    if not columns:
        folded = "" if name == name.lower() else " (names made without quotes are in small letters)"
        raise TableNotReady(
            f"cassandra.keyspace, cassandra.table: there is no table {name}{folded}; make it with {_APPLY}: "
            f"{create_table(wanted)}"
        )
    found = replace(wanted.restricted_to(columns), partition=_partition(wanted, columns, name))
    if not found.services:
        times = dict.fromkeys(service.time for service in wanted.services.values())
        raise TableNotReady(
            f"the table {name} has none of the columns {', '.join(times)}; see [columns], or add them with {_APPLY}: "
            f"{add_columns(wanted, columns)}"
        )
    if wrong := {
        column: f"{column} is {_form(columns[column])}, must be {type_name}"
        for column, type_name in found.columns()
        if _form(columns[column]) != type_name
    }:
        mend = "Cassandra cannot change it: make another table, and name it in cassandra.table"
        addresses = {service.address for service in found.services.values() if service.address is not None}
        other = "text" if found.address_type == "inet" else "inet"
        if wrong.keys() <= addresses and all(columns[address].type == other for address in addresses):
            mend = f'set columns.address_type = "{other}"'
        raise TableNotReady(f"columns of the table {name} have another type: {', '.join(wrong.values())}; {mend}")
    return found


def _form(column: Column) -> str:
    # One of a static column is of a whole partition.
    return f"static {column.type}" if column.kind == "static" else column.type


def _partition(wanted: TableMapping, columns: Mapping[str, Column], name: str) -> tuple[str, ...]:
    """Columns of the partition key in their order. Raises `TableNotReady` when rows have another key than ours."""

    def of(kind: str) -> list[str]:
        return sorted((each for each in columns if columns[each].kind == kind), key=lambda each: columns[each].position)

    partition, clustering = of("partition_key"), of("clustering")
    # Partitions of a service alone would hold all users.
    if sorted(partition + clustering) != sorted(wanted.key) or wanted.user not in partition:
        first = f"({', '.join(partition)})" if len(partition) > 1 else partition[0]
        raise TableNotReady(
            f"the primary key of the table {name} is ({', '.join([first, *clustering])}), must be "
            f"({', '.join(wanted.key)}); say in [columns] what its columns hold, or name another table in "
            "cassandra.table"
        )
    return tuple(partition)


def lost_columns(before: TableMapping, after: TableMapping) -> list[str]:
    """Columns that were written and are gone: to go on without them would be to lose logins silently."""
    return sorted({name for name, _ in before.columns()} - {name for name, _ in after.columns()})


def require_columns(before: TableMapping, after: TableMapping) -> None:
    """Raise `TableNotReady` when the table has lost columns that were written."""
    if lost := lost_columns(before, after):
        cql = add_columns(before, {name for name, _ in after.columns()})
        raise TableNotReady(f"the table has lost {', '.join(lost)}; add them with {_APPLY}: {cql}")
