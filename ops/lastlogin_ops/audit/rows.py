"""Every row of the table, in pages."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from cassandra import DriverException, OperationTimedOut, RequestExecutionException
from cassandra.cluster import EXEC_PROFILE_DEFAULT, NoHostAvailable, Session
from cassandra.query import tuple_factory

from lastlogin_ops.audit.facts import RowFact
from lastlogin_ops.reader import failure_in_words
from lastlogin_schemas.table import TableMapping, quoted
from lastlogin_service.cassandra import CassandraSettings, build_cluster, connect


# Parts of the ring, each read by itself: of the largest tables each is some ten thousand users.
PARTS = 256
_MIN_TOKEN, _TOKENS = -(2**63), 2**64
_PAGE_ROWS = 2_000
# Pages asked for at once: enough that one is always there, few enough for the cluster not to notice.
_AHEAD = 4
_ATTEMPTS = 5
_PAUSE_S = 1.0
_PASSING = (OperationTimedOut, RequestExecutionException, NoHostAvailable)


@dataclass(slots=True)
class _Part:
    """A part of the ring, and how far it is read."""

    first: int
    last: int
    state: bytes | None = None
    attempts: int = 0


class Table:
    """The table to be read. Its services are those of the mapping, by number."""

    def __init__(self, session: Session, mapping: TableMapping, settings: CassandraSettings) -> None:
        self.mapping = mapping
        self._session = session
        self._settings = settings
        services = [(number, columns.address is not None) for number, columns in enumerate(mapping.services.values())]
        # What follows the key in a row: the cells of all services, or those of the one that the row is of.
        self._cells: dict[str | None, list[tuple[int, bool]]] = {None: services}
        if mapping.service is not None:
            self._cells = {name: [each] for name, each in zip(mapping.services, services, strict=True)}
        self._profile = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=tuple_factory)
        self._select = session.prepare(scan_cql(mapping))
        self._select.fetch_size = _PAGE_ROWS

    def pages(self) -> Iterator[tuple[list[RowFact], int]]:
        """Yield rows, and how many of the `PARTS` are read with them. Raises `Exit`."""
        bounds = [_MIN_TOKEN + number * _TOKENS // PARTS for number in range(PARTS + 1)]
        parts = deque(_Part(first, min(last, -_MIN_TOKEN - 1)) for first, last in pairwise(bounds))
        asked: deque[tuple[_Part, Any]] = deque()
        while parts or asked:
            while parts and len(asked) < _AHEAD:
                asked.append(self._ask(parts.popleft()))
            part, future = asked.popleft()
            try:
                result = future.result()
            except _PASSING as error:
                part.attempts += 1
                if part.attempts >= _ATTEMPTS:
                    raise failure_in_words(error, self._settings) from None
                time.sleep(_PAUSE_S)
                parts.appendleft(part)
                continue
            except DriverException as error:
                raise failure_in_words(error, self._settings) from None
            if more := result.paging_state:
                part.state, part.attempts = more, 0
                asked.append(self._ask(part))
            yield list(self._facts(result.current_rows)), int(not more)
            # The driver's future is in a cycle: what it holds would wait for the collector, 150 MiB of it.
            result.current_rows.clear()

    def _ask(self, part: _Part) -> tuple[_Part, Any]:
        return part, self._session.execute_async(
            self._select, (part.first, part.last), execution_profile=self._profile, paging_state=part.state
        )

    def _facts(self, rows: list[tuple[Any, ...]]) -> Iterator[RowFact]:
        by_service = self.mapping.service is not None
        for row in rows:
            key = row[0].encode()
            at = 1 + by_service
            for service, has_address in self._cells.get(row[1] if by_service else None, ()):
                time_ms, written_us = row[at], row[at + 1]
                at += 2
                address = address_written_us = None
                if has_address:
                    address, address_written_us = row[at] or b"", row[at + 1]
                    at += 2
                if time_ms is not None:
                    yield key, service, time_ms, written_us, address, address_written_us


@contextmanager
def table(settings: CassandraSettings, mapping: TableMapping) -> Iterator[Table]:
    """Give the table; its mapping has the table's own TTL where none is given. Raises `Exit`: Cassandra's words."""
    cluster = build_cluster(settings)
    try:
        try:
            session = connect(cluster, settings.local_dc)
            opened = Table(session, replace(mapping, ttl_s=mapping.ttl_s or _default_ttl_s(session, mapping)), settings)
        except Exception as error:  # noqa: BLE001 - told in words, or raised again
            raise failure_in_words(error, settings) from None
        yield opened
    finally:
        cluster.shutdown()


def _default_ttl_s(session: Session, mapping: TableMapping) -> int | None:
    found = session.execute(
        "SELECT default_time_to_live FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s",
        (mapping.keyspace, mapping.table),
    ).one()
    return found[0] or None if found is not None else None


def scan_cql(mapping: TableMapping) -> str:
    """Select every row of a part of the ring, times as milliseconds and addresses as the bytes that are stored."""
    selected = [quoted(column) for column in mapping.key]
    # Rows of services have the same columns.
    for columns in dict.fromkeys(mapping.services.values()):
        at = quoted(columns.time)
        selected += f"toUnixTimestamp({at})", f"WRITETIME({at})"
        if columns.address is not None:
            address = quoted(columns.address)
            selected += f"{mapping.address_type}AsBlob({address})", f"WRITETIME({address})"
    token = f"token({', '.join(map(quoted, mapping.partition or [mapping.user]))})"
    return (
        f"SELECT {', '.join(selected)} FROM {mapping.qualified_table} "  # noqa: S608 - identifiers are quoted above
        f"WHERE {token} > ? AND {token} <= ?"
    )
