"""`lastlogin tail`: the events as they come."""

import asyncio
import contextlib
import errno
import os
import select
import sys
from collections.abc import Coroutine
from typing import Any

import click

from lastlogin_ops import stream
from lastlogin_ops.program import Program, needed
from lastlogin_ops.tailing import Selection, decoded, document, text
from lastlogin_service.since import Since


_LOOK_AT_OUTPUT_S = 1.0

_HELP = """Show logins and deliveries as they reach Kafka, from now on.

It shows personal data: who used which mailbox, when and from where.

One line an event: time of the login (local zone), service, user, address, backend. The order is that of Kafka: per
user as published, across users any. A record that is no event is a line that says so. No consumer group is joined
and nothing is committed. It goes on when Kafka goes away and comes back. Ctrl-C ends it with exit code 0, and it
ends when nobody reads its output any more.
"""


@click.command(help=_HELP)
@click.option("--user", help="Only this mailbox; reads only its partition.")
@click.option("--service", "services", multiple=True, help="Only this service, such as imap; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one object a line, every field.")
@click.option("--since", type=Since(), help="From this append time on: 90s, 30m, 2h, 7d ago, or an ISO time.")
@click.pass_obj
def tail(program: Program, user: str | None, services: tuple[str, ...], *, as_json: bool, since: int | None) -> None:
    """Follow the topic of events."""
    selection = Selection(_utf8(user), frozenset(services))
    settings = program.settings()
    kafka = needed(settings.kafka, "kafka", "bootstrap_servers")
    line = document if as_json else text

    def show(record: Any) -> None:
        event = decoded(record, settings.tail.schemas)
        if selection.takes(record, event):
            # Flushes: each line is seen at once, also in a pipe.
            click.echo(line(record, event))

    def complain(sentence: str) -> None:
        click.echo(f"lastlogin: {sentence}", err=True)

    following = stream.follow(
        kafka, settings.topics.events, user=selection.user, since_ms=since, show=show, complain=complain
    )
    # Ending it is what Ctrl-C is for, so it is no failure.
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_while_read(following))


async def _while_read(following: Coroutine[Any, Any, None]) -> None:
    """Follow until nobody reads our output any more, seen also while there is nothing to show: `| head -n 1`."""
    output = select.poll()
    with contextlib.suppress(OSError, AttributeError):  # an output without a descriptor
        output.register(sys.stdout.fileno(), 0)
    task = asyncio.ensure_future(following)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=_LOOK_AT_OUTPUT_S)
            if output.poll(0):
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


def _utf8(user: str | None) -> str | None:
    try:
        (user or "").encode()
    except UnicodeEncodeError:
        raise click.BadParameter("is not UTF-8", param_hint="--user") from None
    return user
