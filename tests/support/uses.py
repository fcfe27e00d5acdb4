"""Uses of mailboxes, followed to the topic and into the table: all that they must leave, and nothing else."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from click.testing import CliRunner

from lastlogin_ops.main import main
from lastlogin_schemas.event import LoginEvent
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import Cell, EventReader, StatsTable
from lastlogin_stack.services import lastlogin_command


DEADLINE_S = 15.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a mailbox, and the key that Dovecot must make of it, without its `shared/`.

    `act` is what the client does; None where the act of the use before it is this one too.
    """

    user: str
    service: str
    act: Callable[[], object] | None
    key: str
    address: str | None = None


def follow(
    layout: Layout,
    table: StatsTable,
    uses: Sequence[Use],
    *,
    bystanders: Iterable[str] = (),
    precision_us: int = 1_000,
    at_once: bool = False,
) -> list[LoginEvent]:
    """Do all `uses`, and return their events once everything about events and rows was found as it must be.

    Each use is one event with its very name, key and address and with a time in between. The newest of each user
    and service is in the row, whole. All other cells of these users, and the rows of `bystanders`, stay.
    """
    watched = {name: table.row(name) for name in {*bystanders, *(use.user for use in uses)}}
    with EventReader(layout) as reader:
        begun_us = _floor(time.time_ns() // 1_000, precision_us)
        with ThreadPoolExecutor(len(uses) if at_once else 1) as pool:
            for done in [pool.submit(use.act) for use in uses if use.act]:
                done.result()
        ended_us = time.time_ns() // 1_000
        events = _events_since(reader, begun_us, len(uses))

    expected = [(use.user, use.service, f"shared/{use.key}", use.address) for use in uses]
    seen = [(event.user, event.service, event.dict_key, event.remote_ip) for event in events]
    assert sorted(expected, key=repr) == sorted(seen, key=repr)
    assert [] == [event.login_at_us for event in events if not begun_us <= event.login_at_us <= ended_us]
    assert [] == [event.login_at_us for event in events if event.login_at_us % precision_us]
    for event in sorted(events, key=lambda event: event.login_at_us):
        if event.service in table.mapping.services:
            watched[event.user] = watched[event.user] | {event.service: _cell(event)}
            _wait_for(table, event)
    assert watched == {name: table.row(name) for name in watched}
    return events


def shown(layout: Layout, user: str) -> dict[str, Any]:
    """What `lastlogin show` says of a user's services, to programs; services never used are left out."""
    # In this process: the start of another one takes longer than everything else that is done for a user.
    arguments = [*lastlogin_command(layout)[1:], "show", "--json", "--", user]
    result = CliRunner().invoke(main, arguments)
    assert 0 == result.exit_code, result.output
    document = json.loads(result.stdout)
    assert user == document["user"]
    return {service: use for service, use in document["services"].items() if use is not None}


def as_shown(event: LoginEvent) -> dict[str, Any]:
    """How `lastlogin show` puts a login to programs."""
    at = _time(event).replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"time": at, "epoch_ms": event.login_at_us // 1_000, "address": event.remote_ip}


def _events_since(reader: EventReader, begun_us: int, count: int) -> list[LoginEvent]:
    """The first events that the logins since then have made, in their users' order; fewer after the deadline."""
    events: list[LoginEvent] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(events) < count and (left_s := deadline - time.monotonic()) > 0:
        record = reader.wait_for(lambda event: event.login_at_us >= begun_us, left_s)
        if record is not None:
            events.append(record.event)
    return events


def _wait_for(table: StatsTable, event: LoginEvent) -> None:
    table.wait_for(
        event.user,
        lambda row: event.service in row and row[event.service].time_written_us >= event.login_at_us,
        DEADLINE_S,
    )


def _cell(event: LoginEvent) -> Cell:
    return Cell(_time(event), event.remote_ip, event.login_at_us, event.login_at_us)


def _time(event: LoginEvent) -> datetime:
    """The login's time as the table keeps it and as the driver gives it: whole milliseconds, UTC without saying so."""
    return (_EPOCH + timedelta(milliseconds=event.login_at_us // 1_000)).replace(tzinfo=None)


def _floor(at_us: int, unit_us: int) -> int:
    return at_us - at_us % unit_us
