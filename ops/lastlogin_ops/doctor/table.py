"""The table's options, and what a role may do with it. Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lastlogin_ops.doctor.keeping import shown
from lastlogin_schemas.columns import Columns, lost_columns, usable_part
from lastlogin_schemas.ddl import add_columns, name_of, plain
from lastlogin_schemas.errors import TableNotReady
from lastlogin_schemas.table import TableMapping
from lastlogin_service.doctor.report import Line, error, ok, warning


@dataclass(frozen=True, slots=True)
class Role:
    """Whom Cassandra takes us for; `grants` are resource and permission, of the roles that it has, too.

    None: they are not told.
    """

    name: str
    is_superuser: bool
    grants: Collection[tuple[str, str]] | None


def shape(table: TableMapping, columns: Columns) -> Line:
    """Whether the table has the columns that are written, as they must be."""
    check = "table.columns"
    try:
        found = usable_part(table, columns)
    except TableNotReady as why:
        words = str(why)
        what, _, do = words.partition("; ") if "; " in words else words.partition(": ")
        return error(check, what, do)
    if lacking := lost_columns(table, found):
        what = f"{name_of(table)} lacks columns, which are not written: {', '.join(lacking)}"
        return warning(check, what, f"`lastlogin schema apply`, or in cqlsh: {add_columns(table, columns)}")
    return ok(check, f"{name_of(table)} has them all")


def options(table: TableMapping, found: Mapping[str, Any]) -> Iterator[Line]:
    """Options with which rows would vanish, or come back."""
    check = "table.options"
    lines = []
    name = name_of(table)
    if ttl_s := found["default_time_to_live"]:
        mend = f"in cqlsh: ALTER TABLE {name} WITH default_time_to_live = 0"
        if table.ttl_s is None:
            what = f"default_time_to_live of {name} is {shown(ttl_s)}: logins vanish so long after they were written"
            lines.append(error(check, what, f"{mend}; to forget old logins set ttl_s of the consumer"))
        else:
            what = f"default_time_to_live of {name} is {shown(ttl_s)}: what others write has that, not ttl_s"
            lines.append(warning(check, what, mend))
    compaction = str(found["compaction"].get("class", "")).rpartition(".")[2]
    if compaction in ("TimeWindowCompactionStrategy", "DateTieredCompactionStrategy"):
        what = f"{compaction} of {name} is for rows that are never written again, and every login writes one again"
        lines.append(
            warning(
                check,
                what,
                f"in cqlsh: ALTER TABLE {name} WITH compaction = {{'class': 'SizeTieredCompactionStrategy'}}",
            )
        )
    if not found["gc_grace_seconds"]:
        what = f"gc_grace_seconds of {name} is 0: what was erased comes back from a node that was down meanwhile"
        lines.append(warning(check, what, f"in cqlsh: ALTER TABLE {name} WITH gc_grace_seconds = 864000"))
    yield from lines or [ok(check, f"{compaction}, gc_grace_seconds {found['gc_grace_seconds']}, no default TTL")]


def right(table: TableMapping, role: Role | None, permission: str) -> Iterator[Line]:
    """Whether a role may do what it must; None: nobody is asked for rights."""
    check = f"table.{permission.lower()}"
    if role is None:
        yield ok(check, "Cassandra asks nobody for rights")
        return
    grant = f"in cqlsh: GRANT {permission} ON TABLE {name_of(table)} TO {plain(role.name)}"
    if role.is_superuser:
        found = f"{role.name} is a superuser: it may do everything, and guardrails do not hold for it"
        yield warning(check, found, f"use a role that is none, with no more than {permission} on {name_of(table)}")
    elif role.grants is None:
        yield warning(check, f"what {role.name} may do is not known", f"where it lacks the right, {grant}")
    elif any((resource, permission) in role.grants for resource in _resources(table)):
        yield ok(check, f"{role.name} may {permission} {name_of(table)}")
    else:
        yield error(check, f"{role.name} has no {permission} on {name_of(table)}", grant)


def _resources(table: TableMapping) -> Iterator[str]:
    """The table and what it is in, in Cassandra's own words."""
    yield f"<table {table.keyspace}.{table.table}>"
    yield f"<all tables in {table.keyspace}>"
    yield f"<keyspace {table.keyspace}>"
    yield "<all keyspaces>"
