"""Everything that an audit has read, on disk: it may be many times what fits into memory.

SQLite's own temporary database: a file without a name, in SQLITE_TMPDIR, TMPDIR or /var/tmp, that is gone with the
process. Facts are appended to one of many tables, by the user, and each table is sorted in memory when all is read:
that costs a tenth of keeping an index. (SQLite sorts more than that in files which it maps into memory.)
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from types import TracebackType
from typing import Any, Self

from lastlogin_ops.audit.sequences import Piece
from lastlogin_ops.audit.verdicts import DUE, PENDING, REFUSED, Case, Known, Row
from lastlogin_service.exits import UNAVAILABLE, Exit


# Of pages in memory, and the most that is sorted in memory.
_CACHE_KIB = 32 * 1024
# Of ten million events each has 160,000, some 12 MiB.
_TABLES = 64

_SCHEMA = """
CREATE TABLE events_{0} (user BLOB, service INTEGER, state INTEGER, login_at_us INTEGER, address BLOB,
                         partition INTEGER, offset INTEGER);
CREATE TABLE rows_{0} (user BLOB, service INTEGER, time_ms INTEGER, written_us INTEGER, address BLOB,
                       address_written_us INTEGER);
"""
_COMMON_SCHEMA = """
CREATE TABLE letters (partition INTEGER, offset INTEGER, state INTEGER, PRIMARY KEY (partition, offset)) WITHOUT ROWID;
CREATE TABLE pieces (stream BLOB, number INTEGER, bits BLOB);
"""

# ... and the statements of each, by its number.
_ADD_EVENT = [f"INSERT INTO events_{number} VALUES (?, ?, ?, ?, ?, ?, ?)" for number in range(_TABLES)]  # noqa: S608 - a number
_ADD_ROW = [f"INSERT INTO rows_{number} VALUES (?, ?, ?, ?, ?, ?)" for number in range(_TABLES)]  # noqa: S608 - a number
_EVENTS = [f"SELECT * FROM events_{number} ORDER BY user, service" for number in range(_TABLES)]  # noqa: S608 - a number
_ROWS = [f"SELECT * FROM rows_{number} ORDER BY user, service" for number in range(_TABLES)]  # noqa: S608 - a number

# User, number of the service, what became of it (`verdicts.DUE` and so on); then as `Known`.
EventFact = tuple[bytes, int, int, int, bytes, int, int]
# User, number of the service; then as `Row`.
RowFact = tuple[bytes, int, int, int, bytes | None, int | None]


# The newest event that is due, that waits, and that was refused.
_ByState = tuple[Known | None, Known | None, Known | None]
# The facts of each user and service.
_Groups = Iterator[tuple[tuple[bytes, int], list[Any]]]


class Facts:
    """The database, while the `with` block runs. What SQLite raises, for want of disk say, becomes `Exit` (69)."""

    def __enter__(self) -> Self:
        self._db = sqlite3.connect("", isolation_level=None, cached_statements=4 * _TABLES)
        # Nothing is ever rolled back, or read by somebody else.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "temp_store = FILE", f"cache_size = -{_CACHE_KIB}"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_COMMON_SCHEMA + "".join(map(_SCHEMA.format, range(_TABLES))))
        self._db.execute("BEGIN")
        self._count = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        if isinstance(value, sqlite3.OperationalError):
            raise Exit(
                UNAVAILABLE, f"the temporary file cannot be used: {value}; room for it is taken where TMPDIR points"
            ) from None

    def add_events(self, events: Iterable[EventFact]) -> None:
        """Keep events."""
        self._add(_ADD_EVENT, events)

    def add_rows(self, rows: Iterable[RowFact]) -> None:
        """Keep rows."""
        self._add(_ADD_ROW, rows)

    def add_letters(self, letters: Iterable[tuple[int, int, int]]) -> None:
        """Keep partition and offset of records that were set aside, and what became of them; repeated ones are one."""
        self._db.executemany(
            "INSERT INTO letters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET state = max(state, excluded.state)", letters
        )

    def add_pieces(self, pieces: Iterable[Piece]) -> None:
        """Keep pieces of sequences."""
        self._db.executemany("INSERT INTO pieces VALUES (?, ?, ?)", pieces)

    def letters(self, partition: int, first: int, last: int) -> dict[int, int]:
        """Offsets from first to last that were set aside, each with what became of it."""
        where = "WHERE partition = ? AND offset BETWEEN ? AND ?"
        found = self._db.execute(f"SELECT offset, state FROM letters {where}", (partition, first, last))  # noqa: S608 - a constant
        return dict(found)

    def pieces(self) -> Iterator[Piece]:
        """Every piece, sorted."""
        return self._db.execute("SELECT stream, number, bits FROM pieces ORDER BY stream, number")

    def most_cases(self) -> int:
        """At most how many cases there are."""
        return self._count

    def cases(self) -> Iterator[Case]:
        """Every user and service of which there is an event or a row."""
        for events, rows in zip(_EVENTS, _ROWS, strict=True):
            yield from self._cases(self._grouped(events), self._grouped(rows))

    def _add(self, statements: Sequence[str], facts: Iterable[tuple[Any, ...]]) -> None:
        tables: list[list[tuple[Any, ...]]] = [[] for _ in statements]
        for fact in facts:
            tables[hash(fact[0]) % _TABLES].append(fact)
        for statement, some in zip(statements, tables, strict=True):
            if some:
                self._db.executemany(statement, some)
                self._count += len(some)

    def _cases(self, events: _Groups, rows: _Groups) -> Iterator[Case]:
        event, row = next(events, None), next(rows, None)
        while event is not None or row is not None:
            key = min(each[0] for each in (event, row) if each is not None)
            newest: _ByState = (None, None, None)
            shown = None
            if event is not None and event[0] == key:
                newest = _newest(event[1])
                event = next(events, None)
            if row is not None and row[0] == key:
                # A page that was read twice gives a row twice.
                shown = Row(*row[1][-1][2:])
                row = next(rows, None)
            yield Case(*key, *newest, shown)

    def _grouped(self, query: str) -> _Groups:
        # A cursor of its own each; one group is in memory.
        for key, group in groupby(self._db.execute(query), key=itemgetter(0, 1)):
            yield key, list(group)


def _newest(events: Iterable[Any]) -> _ByState:
    newest: list[Known | None] = [None] * 3
    for _, _, state, *known_of in events:
        known, rival = Known._make(known_of), newest[state]
        newest[state] = known if rival is None else max(rival, known)
    return newest[DUE], newest[PENDING], newest[REFUSED]
