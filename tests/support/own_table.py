"""A table like the delivered one, of one test alone, and what is in it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import uuid4

from lastlogin_schemas.address import column_bytes
from lastlogin_schemas.table import TableMapping, literal
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable


# Users asked for at a time.
_USERS = 100


class Cell(NamedTuple):
    """What a row says of one service. Without an address `address` is no bytes; they have a write time all the same."""

    time_ms: int
    time_written_us: int
    address: bytes
    address_written_us: int


# By user and service.
Cells = Mapping[tuple[str, str], Cell]


class OwnTable:
    """The table; `name` is for the consumer's setting. Where a login is asked for, `login` is one that may do all."""

    def __init__(self, layout: Layout, login: tuple[str, str] | None = None) -> None:
        self.name = f"own_{uuid4().hex[:12]}"
        self._connect = partial(StatsTable, layout, login=login)
        self._mapping = TableMapping(table=self.name)
        selected = [self._mapping.user]
        columns = ["user text PRIMARY KEY"]
        for service in self._mapping.services.values():
            columns += f"{service.time} timestamp", f"{service.address} inet"
            selected += f"toUnixTimestamp({service.time})", f"WRITETIME({service.time})"
            selected += f"{service.address}", f"WRITETIME({service.address})"
        self._execute(f"CREATE TABLE {self._mapping.qualified_table} ({', '.join(columns)})")
        self._select = f"SELECT {', '.join(selected)} FROM {self._mapping.qualified_table}"

    def alter(self, change: str) -> None:
        """ALTER it."""
        self._execute(f"ALTER TABLE {self._mapping.qualified_table} {change}")

    def write_null(self, user: str, service: str, at_us: int) -> None:
        """Write a login without an address as others do: null, which is a tombstone."""
        columns = self._mapping.services[service]
        self._execute(
            f"INSERT INTO {self._mapping.qualified_table} ({self._mapping.user}, {columns.time}, {columns.address}) "
            f"VALUES ({literal(user)}, {at_us // 1000}, null) USING TIMESTAMP {at_us}"
        )

    def drop(self) -> None:
        """Remove it."""
        self._execute(f"DROP TABLE {self._mapping.qualified_table}")

    def cells(self) -> Cells:
        """Everything in it."""
        with self._connect() as stats:
            return self._cells(stats.session.execute(self._select))

    def cells_of(self, users: Sequence[str]) -> Cells:
        """What it says of some users."""
        found: dict[tuple[str, str], Cell] = {}
        with self._connect() as stats:
            for start in range(0, len(users), _USERS):
                some = users[start : start + _USERS]
                where = f"WHERE {self._mapping.user} IN ({', '.join(map(literal, some))})"
                found |= self._cells(stats.session.execute(f"{self._select} {where}"))
        return found

    def _execute(self, statement: str) -> None:
        # A session of its own each time: between two of them Cassandra may have been away.
        with self._connect() as stats:
            stats.session.execute(statement)

    def _cells(self, rows: Iterable[Any]) -> dict[tuple[str, str], Cell]:
        found = {}
        for user, *values in rows:
            for number, service in enumerate(self._mapping.services):
                time_ms, time_written, address, address_written = values[4 * number : 4 * number + 4]
                if time_ms is not None:
                    found[user, service] = Cell(time_ms, time_written, column_bytes(address), address_written)
        return found


def digest(cells: Cells) -> str:
    """A hash of it, the same for the same content."""
    return sha256(repr(sorted(cells.items())).encode()).hexdigest()


@contextmanager
def own_table(layout: Layout) -> Iterator[OwnTable]:
    """A table that is dropped afterwards; Cassandra must then run."""
    table = OwnTable(layout)
    yield table
    table.drop()
