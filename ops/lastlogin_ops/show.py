"""`lastlogin show`: when a mailbox was last used."""

import asyncio
import json
import sys
import threading
from concurrent.futures import Future
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

import click

from lastlogin_ops import reader
from lastlogin_ops.backlog import Backlog, backlog
from lastlogin_ops.lookup import ago, document, text
from lastlogin_ops.program import Program, needed
from lastlogin_ops.settings import OpsSettings
from lastlogin_ops.tailing import visible
from lastlogin_schemas.event import MAX_USER_BYTES
from lastlogin_schemas.table import literal, select_cql
from lastlogin_service.counting import counted
from lastlogin_service.exits import Exit


# Beyond what Cassandra needs to be ready for the look-up; Kafka's own deadline is below it.
_BACKLOG_WAIT_S = 3.0


@click.command(help="Show when USER last used the mailbox, by which protocol, and when mail last arrived.")
@click.argument("user")
@click.option("--json", "as_json", is_flag=True, help="For programs: times in UTC, null where nothing is recorded.")
@click.option("--cql", "as_cql", is_flag=True, help="Print the query itself, to run it in cqlsh.")
@click.pass_obj
def show(program: Program, user: str, *, as_json: bool, as_cql: bool) -> None:
    """Look up one user."""
    _check_user(user)
    settings = program.settings()
    cassandra = needed(settings.cassandra, "cassandra", "contact_points")
    wanted = settings.columns.mapping(cassandra.keyspace, cassandra.table)
    if as_cql:
        click.echo(f"{select_cql(reader.mapping(cassandra, wanted), literal(user))};")
        return
    asked = _ask_backlog(settings)
    # What was written while Kafka was asked is in a row that is read later.
    waiting, found = reader.find(cassandra, wanted, user, partial(_answered, asked))
    now = datetime.now(UTC)
    if as_json:
        answer = document(found) if found is not None else {"user": user, "found": False}
        behind = asdict(waiting) if isinstance(waiting, Backlog) else None
        click.echo(json.dumps(answer | {"backlog": behind}))
    else:
        if found is not None:
            click.echo(f"{text(found, now, None)}\n")
        else:
            click.echo(f"{visible(user)}: no login was recorded")
            if user != user.lower():
                click.echo("Names are compared letter by letter; mail servers mostly write them in lower case.")
        click.echo(_freshness(waiting, now))
    if found is None:
        sys.exit(1)


def _check_user(user: str) -> None:
    try:
        size = len(user.encode())
    except UnicodeEncodeError:
        raise click.BadParameter("is not UTF-8", param_hint="USER") from None
    if not 0 < size <= MAX_USER_BYTES:
        raise click.BadParameter(f"must have 1 to {MAX_USER_BYTES} bytes", param_hint="USER")


def _ask_backlog(settings: OpsSettings) -> Future[Backlog | str]:
    """Ask Kafka while somebody else asks Cassandra."""
    answer: Future[Backlog | str] = Future()

    def ask() -> None:
        try:
            answer.set_result(_backlog(settings))
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return answer


def _answered(asked: Future[Backlog | str]) -> Backlog | str:
    try:
        return asked.result(_BACKLOG_WAIT_S)
    except TimeoutError:
        return "Kafka did not answer in time"


def _backlog(settings: OpsSettings) -> Backlog | str:
    try:
        kafka = needed(settings.kafka, "kafka", "bootstrap_servers")
        return asyncio.run(backlog(kafka, settings.topics.events, settings.lag.group))
    except Exit as reason:
        return reason.message


def _freshness(waiting: Backlog | str, now: datetime) -> str:
    if isinstance(waiting, str):
        return f"How fresh the table is, is not known: {waiting}"
    if waiting.records == 0:
        return "The table is up to date: it has everything that reached Kafka and could be used."
    since = ""
    if waiting.oldest_ms is not None:
        since = f", the oldest from {ago(datetime.fromtimestamp(waiting.oldest_ms / 1000, UTC), now)}"
    events = counted(waiting.records, "event is", "events are")
    return f"The table is behind: {events} in Kafka and not in the table yet{since}."
