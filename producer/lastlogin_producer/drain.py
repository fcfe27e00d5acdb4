"""`lastlogin-producer drain`: before a backend is taken away, see that nothing waits in its spool."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import click

from lastlogin_producer.control import ask_status
from lastlogin_producer.offline import open_spool, require_file, runs
from lastlogin_producer.publisher import Publisher
from lastlogin_producer.settings import ProducerSettings
from lastlogin_producer.spool import SpoolFault
from lastlogin_producer.spool.levels import StoredLevels, moved_aside_files, stored_levels
from lastlogin_service.exits import DATA, OK, TEMPFAIL, Exit
from lastlogin_service.subcommand import Source, Subcommand
from lastlogin_service.tasks import cancel


_LOOK_EVERY_S = 0.2
_TELL_EVERY_S = 5.0

SUMMARY = """Say whether anything in the spool waits for Kafka; with --wait, until nothing does.

Ask before the spool of a backend is deleted, once Dovecot no longer writes there. A running producer is asked, and
goes on; where none runs, --wait sends what the spool holds to Kafka itself.

\b
Exit codes:
  0 nothing waits           65 nothing waits, but messages were set aside: keep the file
  75 messages wait          78 there is no spool, or the settings are wrong     130 interrupted
"""


@dataclass(frozen=True, slots=True)
class _Level:
    rows: int
    kafka_away: bool


async def drain(source: Source[ProducerSettings], *, wait: bool, timeout_s: float | None) -> int:
    """Say what waits, and with `wait` wait for it, for at most `timeout_s`; return the exit code. Raises `Exit`."""
    settings = source.load()
    path = require_file(settings)
    running = runs(settings)
    if not wait:
        left = (await _running(settings)).rows if running else _stored(path).rows_waiting
    else:
        async with _asked(settings) if running else _published(settings) as look:
            left = await _until_empty(look, timeout_s)
    if left:
        click.echo(f"{left} messages wait for Kafka in {path}", err=True)
        return TEMPFAIL
    click.echo("Nothing waits for Kafka" + "; now stop the producer, which still takes logins on" * running)
    return _aside(path)


def _aside(path: Path) -> int:
    code = OK
    stored = _stored(path)
    if stored.set_aside:
        where = f"they are in the table `{stored.set_aside_table}` of {path}"
        click.echo(f"{stored.set_aside} messages were set aside and never sent; {where}", err=True)
        code = DATA
    for file in moved_aside_files(path):
        click.echo(f"{file}: a damaged spool that was moved aside; some of it may never have been sent", err=True)
        code = DATA
    return code


def _stored(path: Path) -> StoredLevels:
    try:
        return stored_levels(path)
    except SpoolFault as fault:
        raise Exit(TEMPFAIL, f"{path}: cannot be read: {fault}") from None


async def _running(settings: ProducerSettings) -> _Level:
    status = await ask_status(settings.spool.directory)
    return _Level(status.rows_waiting, status.kafka_away)


@asynccontextmanager
async def _asked(settings: ProducerSettings) -> AsyncIterator[Callable[[], Awaitable[_Level]]]:
    yield lambda: _running(settings)


@asynccontextmanager
async def _published(settings: ProducerSettings) -> AsyncIterator[Callable[[], Awaitable[_Level]]]:
    """Publish as the producer would, without taking logins on."""
    spool = open_spool(settings)
    publisher = Publisher(spool, settings.kafka, settings.topics, settings.publisher, Random())  # noqa: S311 - jitter
    publishing = asyncio.create_task(publisher.run())

    async def look() -> _Level:
        if spool.failed.done():
            raise spool.failed.result()
        if publishing.done():
            await publishing
        return _Level(spool.rows_waiting, publisher.away)

    try:
        yield look
    finally:
        await cancel({publishing})
        await spool.close()


async def _until_empty(look: Callable[[], Awaitable[_Level]], timeout_s: float | None) -> int:
    """Wait, telling how far it is; return the rows that are left when the time is up."""
    loop = asyncio.get_running_loop()
    begun = told_at = loop.time()
    level = await look()
    told = level.rows
    if level.rows:
        click.echo(f"{level.rows} messages wait for Kafka")
    while level.rows and (timeout_s is None or loop.time() - begun < timeout_s):
        await asyncio.sleep(_LOOK_EVERY_S)
        level = await look()
        if (since := loop.time() - told_at) >= _TELL_EVERY_S:
            away = "; Kafka does not answer" * level.kafka_away
            click.echo(f"{level.rows} messages wait; {(told - level.rows) / since:.0f} fewer a second{away}")
            told, told_at = level.rows, loop.time()
    return level.rows


DRAIN: Subcommand[ProducerSettings] = Subcommand(
    "drain",
    SUMMARY,
    drain,
    [
        click.Option(["--wait"], is_flag=True, help="Wait until nothing waits any more."),
        click.Option(
            ["--timeout", "timeout_s"],
            type=click.FloatRange(min=0),
            metavar="SECONDS",
            help="Wait no longer than this.  [default: no limit]",
        ),
    ],
)
