"""The tables of the spool's file, what they say as a whole, and how an older layout becomes this one.

messages  what waits for Kafka, and what Kafka took and is kept for sending again
held      numbers at or below the watermark that still wait
aside     rows that cannot be published, each with the reason
marks     (sequence, at_us): the rows above `sequence`, up to the next mark, were stored in the minute from `at_us` on
meta      one row, see `Meta`
"""

import sqlite3
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from crc32c import crc32c

from lastlogin_producer.spool.faults import Damaged
from lastlogin_service.exits import CONFIG, Exit


# Version of the tables, in SQLite's `user_version`. 1 deleted what Kafka took, and knew neither `held` nor `marks`.
LAYOUT_VERSION = 2

# "LLsp": tells our files from other SQLite databases.
APPLICATION_ID = 0x4C4C7370

# What a row costs in the file beside its body: sequence, kind, checksum, cell pointer, its share of the page.
ROW_OVERHEAD_BYTES = 20

# Below the 2 s that a login may wait. Only a person with the sqlite3 shell can hold the file's lock; a reader waits for
# the moment in which the writer starts a new WAL.
_BUSY_TIMEOUT_S = 1.0

AsideReason = Literal["damaged", "too_large", "invalid_record", "corrupt", "policy_violation"]
ASIDE_REASONS: tuple[AsideReason, ...] = get_args(AsideReason)

_MESSAGES = """
CREATE TABLE messages (
    sequence INTEGER PRIMARY KEY, kind INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL
);
"""
_REST = f"""
CREATE TABLE aside (sequence INTEGER PRIMARY KEY, kind, crc, body, reason TEXT NOT NULL);
CREATE TABLE held (sequence INTEGER PRIMARY KEY);
CREATE TABLE marks (sequence INTEGER PRIMARY KEY, at_us INTEGER NOT NULL);
CREATE TABLE meta (
    epoch INTEGER NOT NULL, backend TEXT NOT NULL, last_sequence INTEGER NOT NULL,
    rows INTEGER NOT NULL, bytes INTEGER NOT NULL, kept_rows INTEGER NOT NULL, kept_bytes INTEGER NOT NULL,
    watermark INTEGER NOT NULL, evicted INTEGER NOT NULL, crc INTEGER NOT NULL
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {LAYOUT_VERSION};
"""


class Meta(NamedTuple):
    """What the file says of itself.

    A row waits if it is above the `watermark`, or in `held`; all others in `messages` are kept. `rows` and `bytes`
    count those that wait. Nothing is kept at or below `evicted`.
    """

    epoch: int
    backend: str
    last_sequence: int = 0
    rows: int = 0
    bytes: int = 0
    kept_rows: int = 0
    kept_bytes: int = 0
    watermark: int = 0
    evicted: int = 0

    def checksum(self) -> int:
        """CRC-32C over all: a watermark with a flipped bit would pass over messages without a word."""
        return crc32c(repr(tuple(self)).encode())


def connect(path: Path, how: str = "mode=ro") -> sqlite3.Connection:
    """Open the file, which is never made here; `how` is the query of SQLite's URI. Transactions are the caller's.

    For one thread at a time, whichever it is.
    """
    uri = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def read_meta(connection: sqlite3.Connection) -> Meta:
    """What `meta` says. Raises `Damaged` when that cannot be so, and sqlite3.Error."""
    row = connection.execute("SELECT * FROM meta").fetchone()
    if row is None or len(row) != len(Meta._fields) + 1 or Meta(*row[:-1]).checksum() != row[-1]:
        raise Damaged("the table meta does not hold what belongs there")
    meta = Meta(*row[:-1])
    if meta.watermark > meta.last_sequence:
        raise Damaged(f"messages up to {meta.watermark} were delivered, and it ends at {meta.last_sequence}")
    return meta


def write_meta(connection: sqlite3.Connection, meta: Meta) -> None:
    """Store everything of `meta` that ever changes."""
    connection.execute(
        "UPDATE meta SET last_sequence = ?, rows = ?, bytes = ?, kept_rows = ?, kept_bytes = ?, watermark = ?, "
        "evicted = ?, crc = ?",
        (*meta[2:], meta.checksum()),
    )


def is_new(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file has no tables yet. Raises `Exit(78)` for one of a later version or of another program."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application == APPLICATION_ID:
        if version > LAYOUT_VERSION:
            raise Exit(
                CONFIG,
                f"{path}: this spool was written by a later version (layout {version}, this version knows "
                f"{LAYOUT_VERSION}); install that version again, or move the file away",
            )
        return False
    if connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()[0]:
        raise Exit(CONFIG, f"{path}: is a database of another program; give spool.directory a directory of its own")
    # Empty, or left by a start that a crash cut short: the tables and their version come in one transaction.
    return True


def is_current(connection: sqlite3.Connection) -> bool:
    """Whether the file has the tables of this version."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] == LAYOUT_VERSION)


def create(connection: sqlite3.Connection, meta: Meta) -> None:
    """Make the tables of a new file."""
    # Both must be set before the first table is made.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript("BEGIN;" + _MESSAGES + _REST)
    _insert_meta(connection, meta)
    connection.execute("COMMIT")


def migrate(connection: sqlite3.Connection, now_us: int) -> None:
    """Make layout 2 of layout 1, in one transaction; a file of layout 2 stays as it is. Raises `Damaged`."""
    if is_current(connection):
        return
    meta = connection.execute("SELECT epoch, backend, last_sequence, rows, bytes FROM meta").fetchone()
    if meta is None or any(type(value) is not int for value in (meta[0], *meta[2:])):
        raise Damaged("the table meta does not hold what belongs there")
    epoch, backend, last, rows, size = meta
    first, last_stored = connection.execute(
        "SELECT (SELECT MIN(sequence) FROM messages), (SELECT MAX(sequence) FROM messages)"
    ).fetchone()
    last = max(last, last_stored or 0)
    # What Kafka took above the first row that waits is a hole, and holes are passed over.
    below = last if first is None else first - 1
    connection.executescript("BEGIN IMMEDIATE;ALTER TABLE damaged RENAME TO damaged_1;DROP TABLE meta;" + _REST)
    connection.execute("INSERT INTO aside SELECT *, 'damaged' FROM damaged_1")
    connection.execute("DROP TABLE damaged_1")
    # When they came is not known; they are no older than this to whoever asks.
    connection.execute("INSERT INTO marks VALUES (?, ?)", (below, now_us))
    _insert_meta(connection, Meta(epoch, backend, last, rows, size, watermark=below, evicted=below))
    connection.execute("COMMIT")


def _insert_meta(connection: sqlite3.Connection, meta: Meta) -> None:
    connection.execute("INSERT INTO meta VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*meta, meta.checksum()))
