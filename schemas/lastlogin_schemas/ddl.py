"""The CQL that makes a table what `TableMapping` says, as people write it."""

import re
from collections.abc import Collection, Mapping

from lastlogin_schemas.table import TableMapping, literal, quoted


# https://cassandra.apache.org/doc/stable/cassandra/developing/cql/appendices.html#appendix-A, and DEFAULT and UNSET.
_RESERVED = (
    " add allow alter and apply asc authorize batch begin by columnfamily create default delete desc describe drop "
    "entries execute from full grant if in index infinity insert into is keyspace limit materialized mbean mbeans "
    "modify nan norecursive not null of on or order primary rename replace revoke schema select set table to token "
    "truncate unlogged unset update use using view where with "
)


def plain(identifier: str) -> str:
    """Write a CQL identifier, without quotes where it needs none."""
    needs_none = re.fullmatch(r"[a-z][a-z0-9_]*", identifier) and f" {identifier} " not in _RESERVED
    return identifier if needs_none else quoted(identifier)


def name_of(mapping: TableMapping) -> str:
    """Keyspace and table."""
    return f"{plain(mapping.keyspace)}.{plain(mapping.table)}"


def create_keyspace(keyspace: str, replicas: Mapping[str, int]) -> str:
    """CQL for a keyspace with so many replicas in each data centre."""
    options = "".join(f", {literal(name)}: {count}" for name, count in sorted(replicas.items()))
    return (
        f"CREATE KEYSPACE IF NOT EXISTS {plain(keyspace)} "
        f"WITH replication = {{'class': 'NetworkTopologyStrategy'{options}}}"
    )


def create_table(mapping: TableMapping) -> str:
    """CQL for the table with all its columns."""
    columns = [f"{plain(name)} {type_name}" for name, type_name in mapping.columns()]
    columns.append(f"PRIMARY KEY ({', '.join(map(plain, mapping.key))})")
    return f"CREATE TABLE IF NOT EXISTS {name_of(mapping)} ({', '.join(columns)})"


def add_columns(mapping: TableMapping, existing: Collection[str]) -> str | None:
    """CQL for the columns that the table lacks; None when it has them all. Cassandra 4.0 has no ADD IF NOT EXISTS."""
    lacking = [f"{plain(name)} {type_name}" for name, type_name in mapping.columns() if name not in existing]
    return f"ALTER TABLE {name_of(mapping)} ADD ({', '.join(lacking)})" if lacking else None
