"""The real spool, as tests drive it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

from lastlogin_producer.outcome import Outcome
from lastlogin_producer.records import decoded
from lastlogin_producer.settings import SpoolSettings
from lastlogin_producer.spool import BEGINNING, Row, Spool
from lastlogin_producer.spool.row import unnumbered_body
from lastlogin_producer.spool.spool import FILE_NAME
from lastlogin_schemas.event import LoginEvent, RawWrite
from tests.support.logins import LOGIN


BACKEND = "mail1"
Message = LoginEvent | RawWrite

# Microseconds; each look at the clock is a second later.
_clock = count(1_795_387_910_000_000, 1_000_000)


def unnumbered(user: str = "test1", **fields: object) -> LoginEvent:
    """A login as the server hands it to the spool."""
    return LOGIN._replace(user=user, epoch=0, sequence=0, **fields)  # type: ignore[arg-type]


@asynccontextmanager
async def open_spool(
    directory: Path,
    *,
    backend: str = BACKEND,
    max_rows: int = 1_000_000,
    max_bytes: int = 2**30,
    keep_hours: float = 24.0,
    now_us: Callable[[], int] = _clock.__next__,
) -> AsyncIterator[Spool]:
    """The spool in `directory`, closed afterwards."""
    settings = SpoolSettings(directory=directory, max_rows=max_rows, max_bytes=max_bytes, keep_hours=keep_hours)
    spool = Spool(settings, backend, now_us)
    try:
        yield spool
    finally:
        await spool.close()


def keep(spool: Spool, message: Message, done: Callable[[Outcome], None]) -> None:
    """Append one message; `done` is told what becomes of it."""
    spool.append([unnumbered_body(message)], done)


async def append(spool: Spool, *messages: Message) -> list[Outcome]:
    """Append all at once, wait, and return what became of each."""
    outcomes: list[Outcome] = []
    settled = asyncio.Event()

    def done(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == len(messages):
            settled.set()

    for message in messages:
        keep(spool, message, done)
    async with asyncio.timeout(10):
        await settled.wait()
    return outcomes


async def store(spool: Spool, users: Sequence[str]) -> None:
    """Append a login of each user, and see that all are stored."""
    assert {Outcome.STORED} == set(await append(spool, *map(unnumbered, users)))


async def read_all(spool: Spool) -> list[Row]:
    """Every row that waits."""
    rows: list[Row] = []
    while found := await spool.read(rows[-1].sequence if rows else BEGINNING):
        rows += found
    return rows


async def users(spool: Spool) -> list[tuple[int, str | bytes]]:
    """Sequence and user of every row that waits."""
    return [(row.sequence, decoded(row).user) for row in await read_all(spool)]


async def left(spool: Spool) -> None:
    """Wait until delivered rows have left the file."""
    async with asyncio.timeout(10):
        while spool.rows_leaving:
            spool.arrived.clear()
            await spool.arrived.wait()


def edit(directory: Path, *statements: str) -> None:
    """Change the closed spool's file by hand."""
    connection = sqlite3.connect(directory / FILE_NAME, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
