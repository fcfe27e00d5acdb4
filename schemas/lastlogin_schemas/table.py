"""The table that customer care reads: which columns hold what, and the CQL to write and read it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ServiceColumns:
    """Where the newest login of one service stands; `address` is None where the table keeps no addresses."""

    time: str
    address: str | None


@dataclass(frozen=True, slots=True)
class TableMapping:
    """A table with one row per user, and a pair of columns per service."""

    keyspace: str = "statsdb"
    table: str = "dovecot_stats"
    user: str = "user"
    services: Mapping[str, ServiceColumns] = field(
        default_factory=lambda: {
            service: ServiceColumns(f"last_login_{service}", f"remote_ip_{service}")
            for service in ("imap", "pop3", "webmail", "lmtp")
        }
    )

    @property
    def qualified_table(self) -> str:
        """Keyspace and table, quoted."""
        return f"{quoted(self.keyspace)}.{quoted(self.table)}"

    def restricted_to(self, columns: Collection[str]) -> "TableMapping":
        """The same mapping without the services and address columns that the table `columns` does not have."""
        return TableMapping(
            self.keyspace,
            self.table,
            self.user,
            {
                service: ServiceColumns(c.time, c.address if c.address in columns else None)
                for service, c in self.services.items()
                if c.time in columns
            },
        )


def quoted(identifier: str) -> str:
    """A CQL identifier in double quotes, so that any name is just a name."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A CQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def insert_cql(mapping: TableMapping, service: str) -> str:
    """Statement that records one login of `service`.

    Bind, in this order: user, time, the address if the service has such a column, and the write time in
    microseconds, which must be the login's own: that makes replays, reordering and late writers harmless.
    """
    columns = mapping.services[service]
    names = [mapping.user, columns.time]
    if columns.address is not None:
        names.append(columns.address)
    return (
        f"INSERT INTO {mapping.qualified_table} ({', '.join(map(quoted, names))}) "  # noqa: S608 - identifiers are quoted
        f"VALUES ({', '.join('?' * len(names))}) USING TIMESTAMP ?"
    )


def select_cql(mapping: TableMapping, user: str = "?") -> str:
    """The look-up of customer care: one row by its key, with the write times of times and addresses.

    An address belongs to the time beside it only where both have the same write time (rows that Dovecot itself
    wrote may mix two logins). `user` is a bind marker or a `literal`.
    """
    selected = [quoted(mapping.user)]
    for columns in mapping.services.values():
        selected += quoted(columns.time), f"WRITETIME({quoted(columns.time)})"
        if columns.address is not None:
            selected += quoted(columns.address), f"WRITETIME({quoted(columns.address)})"
    return f"SELECT {', '.join(selected)} FROM {mapping.qualified_table} WHERE {quoted(mapping.user)} = {user}"  # noqa: S608 - identifiers are quoted above
