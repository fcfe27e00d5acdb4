"""Losses that are made on purpose: in the table, and between the spool and the topic."""

import imaplib
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from typing import Any

from cassandra import DriverException
from cassandra.cluster import NoHostAvailable, Session

from lastlogin_schemas.table import TableMapping, insert_cql, select_cql
from lastlogin_stack.clients import imap_login
from lastlogin_stack.errors import StackError
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable, cells
from lastlogin_stack.services import ProducerService


_SERVICE = "imap"
_EARLIER = timedelta(hours=1)
_DEADLINE_S = 20.0
_POLL_S = 0.05


def lose_rows(
    layout: Layout, mapping: TableMapping | None = None, *, missing: str, older: str
) -> list[tuple[str, str, str]]:
    """Make the IMAP login of one user go, and that of another one older; return what an audit must say.

    The table is emptied and filled again: a row that is deleted leaves a tombstone, and no replay gets past it. Raises
    `StackError`.
    """
    mapping = mapping or TableMapping()
    try:
        # A session from before a kill -9 would need a while to find Cassandra again.
        with StatsTable(layout) as table:
            _lose(table.session, mapping, missing, older)
    except (DriverException, NoHostAvailable) as error:
        raise StackError(f"cassandra: the loss of rows could not be planted: {error}") from None
    return [("missing", missing, _SERVICE), ("older", older, _SERVICE)]


def _lose(session: Session, mapping: TableMapping, missing: str, older: str) -> None:
    rows = list(session.execute(select_cql(mapping).partition(" WHERE ")[0]))
    inserts = {service: session.prepare(insert_cql(mapping, service)) for service in mapping.services}
    session.execute(f"TRUNCATE {mapping.qualified_table}")
    for row in rows:
        for service, cell in cells(mapping, row).items():
            if (row[0], service) == (missing, _SERVICE):
                continue
            earlier = _EARLIER if (row[0], service) == (older, _SERVICE) else timedelta()
            written_us = cell.time_written_us - earlier // timedelta(microseconds=1)
            session.execute(inserts[service], (row[0], cell.time - earlier, cell.address, written_us))


def lose_a_message(layout: Layout, user: str) -> str:
    """Damage the second of three logins that wait in the spool; return producer, epoch and number.

    Raises `StackError`.
    """
    kafka, producer = Kafka(layout), ProducerService(layout)
    kafka.kill()
    last = spool_says(producer, "last_sequence")
    try:
        for _ in range(3):
            imap_login(layout, user)
    except (imaplib.IMAP4.error, OSError) as error:
        raise StackError(f"dovecot: {user} cannot log in: {error}") from None
    deadline = time.monotonic() + _DEADLINE_S
    while spool_says(producer, "last_sequence") < last + 3:
        if time.monotonic() > deadline:
            raise StackError("producer: the logins are not in its spool")
        time.sleep(_POLL_S)
    producer.stop()
    with closing(sqlite3.connect(producer.spool_file)) as spool, spool:
        (body,) = spool.execute("SELECT body FROM messages WHERE sequence = ?", (last + 2,)).fetchone()
        flipped = bytes([body[0] ^ 1]) + body[1:]
        spool.execute("UPDATE messages SET body = ? WHERE sequence = ?", (flipped, last + 2))
    hole = f"{spool_says(producer, 'backend')}, epoch {spool_says(producer, 'epoch')}: {last + 2}"
    kafka.start()
    kafka.wait_ready()
    producer.start()
    return hole


def spool_says(producer: ProducerService, column: str) -> Any:
    """What the spool says of itself."""
    with closing(sqlite3.connect(f"file:{producer.spool_file}?mode=ro", uri=True)) as spool:
        return spool.execute(f"SELECT {column} FROM meta").fetchone()[0]  # noqa: S608 - the name is ours
