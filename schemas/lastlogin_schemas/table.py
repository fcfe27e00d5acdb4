"""The table that customer care reads: which columns hold what, and the CQL to write and read it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal


# An address as Cassandra's own type, or as text.
AddressType = Literal["inet", "text"]
# 20 years; Cassandra refuses more.
MAX_TTL_S = 630_720_000
# The services of the manual's table, and webmail.
SERVICES = ("imap", "pop3", "webmail", "lmtp")


@dataclass(frozen=True, slots=True)
class ServiceColumns:
    """Where the newest login of one service stands; `address` is None where the table keeps none of it."""

    time: str
    address: str | None


@dataclass(frozen=True, slots=True)
class TableMapping:
    """A table with one row per user and a pair of columns per service; with `service`, one row per user and service.

    `partition` names the columns of the partition key in their order where they are more than that of the user. With
    `ttl_s` Cassandra forgets a login that many seconds after it.
    """

    keyspace: str = "statsdb"
    table: str = "dovecot_stats"
    user: str = "user"
    services: Mapping[str, ServiceColumns] = field(
        default_factory=lambda: {
            service: ServiceColumns(f"last_login_{service}", f"remote_ip_{service}") for service in SERVICES
        }
    )
    service: str | None = None
    address_type: AddressType = "inet"
    partition: tuple[str, ...] = ()
    ttl_s: int | None = None

    @property
    def qualified_table(self) -> str:
        """Keyspace and table, quoted."""
        return f"{quoted(self.keyspace)}.{quoted(self.table)}"

    @property
    def key(self) -> list[str]:
        """Columns of the primary key."""
        return [self.user] if self.service is None else [self.user, self.service]

    def columns(self) -> list[tuple[str, str]]:
        """Name and CQL type of each column that it has."""
        pairs = list(self.services.values())
        found = [(self.user, "text")]
        if self.service is not None:
            # All services share one pair.
            found, pairs = [*found, (self.service, "text")], pairs[:1]
        for pair in pairs:
            found.append((pair.time, "timestamp"))
            if pair.address is not None:
                found.append((pair.address, self.address_type))
        return found

    def restricted_to(self, columns: Collection[str]) -> "TableMapping":
        """The same mapping without the services and address columns that the table `columns` does not have."""
        services = {
            service: ServiceColumns(c.time, c.address if c.address in columns else None)
            for service, c in self.services.items()
            if c.time in columns
        }
        return replace(self, services=services)

    @property
    def is_by_user(self) -> bool:
        """Whether all of a user is in one partition."""
        return self.service not in self.partition

    def partition_key(self, user: str, service: str) -> bytes:
        """Serialize the partition key of a login's row, as its token is made of."""
        if self.is_by_user:
            return user.encode()
        parts = (service.encode() if column == self.service else user.encode() for column in self.partition)
        # CompositeType: of each column the length, the value, and a zero.
        return b"".join(len(part).to_bytes(2, "big") + part + b"\0" for part in parts)


def quoted(identifier: str) -> str:
    """A CQL identifier in double quotes, so that any name is just a name."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A CQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def insert_cql(mapping: TableMapping, service: str) -> str:
    """Statement that records one login of `service`.

    Bind, in this order: the service if rows have one, user, time, the address if the service has such a column, the
    seconds that are left if rows are forgotten, and the write time in microseconds, which must be the login's own: that
    makes replays, reordering and late writers harmless.
    """
    columns = mapping.services[service]
    names = [name for name in (mapping.service, mapping.user, columns.time, columns.address) if name is not None]
    return (
        f"INSERT INTO {mapping.qualified_table} ({', '.join(map(quoted, names))}) "  # noqa: S608 - identifiers are quoted
        f"VALUES ({', '.join('?' * len(names))}) USING {'TTL ? AND ' if mapping.ttl_s is not None else ''}TIMESTAMP ?"
    )


def select_cql(mapping: TableMapping, user: str = "?") -> str:
    """The look-up of customer care: one user's row or rows by their key, with the write times of times and addresses.

    An address belongs to the time beside it only where both have the same write time (rows that Dovecot itself
    wrote may mix two logins). `user` is a bind marker or a `literal`.
    """
    selected = [quoted(mapping.user if mapping.service is None else mapping.service)]
    # Rows of services have the same columns.
    for columns in dict.fromkeys(mapping.services.values()):
        selected += quoted(columns.time), f"WRITETIME({quoted(columns.time)})"
        if columns.address is not None:
            selected += quoted(columns.address), f"WRITETIME({quoted(columns.address)})"
    where = f"{quoted(mapping.user)} = {user}"
    if mapping.service is not None:
        where += f" AND {quoted(mapping.service)} IN ({', '.join(map(literal, mapping.services))})"
    return f"SELECT {', '.join(selected)} FROM {mapping.qualified_table} WHERE {where}"  # noqa: S608 - identifiers are quoted above
