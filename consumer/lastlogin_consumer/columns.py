"""The columns that the table has, against those that we write. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from lastlogin_consumer.errors import TableNotReady
from lastlogin_schemas.table import TableMapping


class Column(NamedTuple):
    """A column as `system_schema.columns` has it: `partition_key`, `clustering`, `regular` or `static`; CQL type."""

    kind: str
    type: str


def usable_part(wanted: TableMapping, columns: Mapping[str, Column]) -> TableMapping:
    """Return the services and addresses that the table can take.

    Raises `TableNotReady` when it can take none, or when a column is not what our bytes are meant for: they are
    serialized by hand, and would be stored as something else.
    """
    name = f"{wanted.keyspace}.{wanted.table}"
    if not columns:
        raise TableNotReady(
            f"cassandra.keyspace, cassandra.table: there is no table {name}; make it with `cqlsh -f tables.cql`"
        )
    key = [column for kind in ("partition_key", "clustering") for column in columns if columns[column].kind == kind]
    if key != [wanted.user]:
        raise TableNotReady(
            f"the primary key of the table {name} is ({', '.join(key)}), must be ({wanted.user}); make another "
            "table with `cqlsh -f tables.cql`"
        )
    found = wanted.restricted_to(columns)
    if not found.services:
        times = [service.time for service in wanted.services.values()]
        raise TableNotReady(
            f"the table {name} has none of the columns {', '.join(times)}; add them with `cqlsh -f tables.cql`, or "
            f"one with ALTER TABLE {name} ADD {times[0]} timestamp"
        )
    expected = {found.user: "text"}
    for service in found.services.values():
        expected[service.time] = "timestamp"
        if service.address is not None:
            expected[service.address] = "inet"
    if wrong := [
        f"{column} is {columns[column].type}, must be {type_name}"
        for column, type_name in expected.items()
        if columns[column].type != type_name
    ]:
        raise TableNotReady(
            f"columns of the table {name} have another type: {', '.join(wrong)}; Cassandra cannot change it: make "
            "another table with `cqlsh -f tables.cql`"
        )
    return found


def lost_columns(before: TableMapping, after: TableMapping) -> list[str]:
    """Columns that were written and are gone: to go on without them would be to lose logins silently."""

    def columns(mapping: TableMapping) -> set[str]:
        return {name for c in mapping.services.values() for name in (c.time, c.address) if name is not None}

    return sorted(columns(before) - columns(after))


def require_columns(before: TableMapping, after: TableMapping) -> None:
    """Raise `TableNotReady` when the table has lost columns that were written."""
    if lost := lost_columns(before, after):
        raise TableNotReady(f"the table has lost {', '.join(lost)}, see tables.cql")
