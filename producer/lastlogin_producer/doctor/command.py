"""The command `lastlogin-producer doctor`: everything is looked at at once, then a login goes all the way."""

import asyncio
import os
from collections.abc import Awaitable, Iterable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click

from lastlogin_producer.control import Status, ask_status
from lastlogin_producer.doctor import clock, dicts, host, mail_host, spool, topics
from lastlogin_producer.doctor.mail_host import MailHost
from lastlogin_producer.doctor.round_trip import Login, Trip, travel
from lastlogin_producer.offline import runs
from lastlogin_producer.settings import ProducerSettings
from lastlogin_service.daemon_thread import in_thread
from lastlogin_service.doctor import servers
from lastlogin_service.doctor.kernel import synchronised
from lastlogin_service.doctor.report import Level, Line, as_json, error, text, warning, worst
from lastlogin_service.exits import OK, Exit
from lastlogin_service.subcommand import Source, Subcommand


_ERROR = 1
# A disk that has not answered by then stands still; the parts on Kafka and Dovecot are bounded below this.
_LOOK_S = 12.0

SUMMARY = """Look at everything between Dovecot and Kafka, and say what is wrong and what to do.

The configuration, the socket and who may connect to it, the spool and its disk, the clock, Kafka with its topics and
our rights there, Dovecot's own configuration where doveconf is found; in the end one login of the user
lastlogin-doctor (service `doctor`, which makes no row) goes through a running producer to Kafka. Nothing is changed,
and a running producer is not disturbed. As root it also connects as Dovecot's user. Takes up to 25 s.

\b
Exit codes:
  0 no error (there may be warnings)     1 at least one error
"""


async def doctor(
    source: Source[ProducerSettings], *, json: bool, doveconf: str | None, dovecot_config: Path | None
) -> int:
    """Look, print, and return the exit code."""
    settings, lines = host.configuration(source)
    if settings is not None:
        lines += await examine(settings, doveconf, dovecot_config)
    click.echo(as_json(lines, version("lastlogin")) if json else text(lines), nl=json)
    return _ERROR if worst(lines) is Level.ERROR else OK


async def examine(settings: ProducerSettings, doveconf: str | None, dovecot_config: Path | None) -> list[Line]:
    """Look at everything beyond the settings."""
    kafka = asyncio.create_task(_kafka(settings))
    mail, status = await asyncio.gather(mail_host.look(settings, doveconf, dovecot_config), _status(settings))
    groups = await asyncio.gather(
        _bounded("socket", in_thread(lambda: [host.listening(settings), *host.rights(settings.socket, mail.mail)])),
        _bounded("spool", in_thread(lambda: list(spool.look(settings.spool)))),
        _bounded("spool.level", in_thread(lambda: list(spool.levels(settings, status)))),
        kafka,
    )
    lines = [line for group in groups for line in group]
    trip = await _round_trip(settings, mail)
    return [*lines, *mail.lines, *trip.lines, *(await _clock(settings, lines, trip))]


async def _status(settings: ProducerSettings) -> Status | None:
    """What a running producer says of itself, where it may be asked."""
    try:
        return await ask_status(settings.spool.directory) if runs(settings) else None
    except Exit:
        return None


async def _bounded(check: str, look: Awaitable[list[Line]]) -> list[Line]:
    try:
        return await asyncio.wait_for(look, _LOOK_S)
    except TimeoutError:
        return [error(check, f"no answer within {_LOOK_S:g} s: the disk stands still", "look at the disk")]


async def _kafka(settings: ProducerSettings) -> list[Line]:
    usable, lines = await servers.look(servers.of_kafka(settings.kafka))
    return [*lines, *(await topics.look(settings.kafka, settings.topics))] if usable else lines


async def _round_trip(settings: ProducerSettings, mail: MailHost) -> Trip:
    if not runs(settings):
        return Trip([warning("round_trip", "not done: no producer is seen to run here", "start it")])
    identity = mail.mail if os.geteuid() == 0 else None
    uid = os.geteuid() if identity is None else identity.uid
    if uid not in (settings.socket.allowed_uids or {uid}):
        found = f"not done: the producer turns uid {uid} away, who is not in socket.allowed_users"
        do = "ask the doctor as root, or try a real login, and look for it with `lastlogin tail`"
        return Trip([warning("round_trip", found, do)])
    dict_name = next(iter(dicts.names(settings)))
    key = dicts.doctor_key(settings, dict_name)
    if (why := dicts.misfit(settings, dict_name, key, dicts.DOCTOR_USER)) is not None:
        do = "try a real login, and look for it with `lastlogin tail`"
        return Trip([warning("round_trip", f"not done: it would not be recorded: {why}", do)])
    # 2.4's takes the name of a dict in the configuration instead of a URI (its doveadm-dict(1)).
    takes_uri = mail.configuration is not None and mail.configuration.version < (2, 4)
    login = Login(
        settings.socket.path,
        dict_name,
        key,
        identity,
        doveadm=takes_uri,
    )
    return await travel(login, partial(ask_status, settings.spool.directory))


async def _clock(settings: ProducerSettings, lines: Iterable[Line], trip: Trip) -> list[Line]:
    # With any other kind of time the records tell of the producers' clocks.
    append_time = any(line.check == "kafka.topics" and line.level is Level.OK for line in lines)
    if trip.span_s is None or not append_time:
        # What is in the way has a line of its own.
        return []
    return [await clock.compare(settings.kafka, settings.topics.events, trip.span_s, kept=synchronised())]


DOCTOR: Subcommand[ProducerSettings] = Subcommand(
    "doctor",
    SUMMARY,
    doctor,
    [
        click.Option(
            ["--json"], is_flag=True, help="Print JSON for machines: level, and check, level, found, do of each."
        ),
        click.Option(
            ["--doveconf"],
            metavar="PATH",
            type=click.Path(exists=True, dir_okay=False),
            help="Dovecot's program doveconf.  [default: found on the PATH]",
        ),
        click.Option(
            ["--dovecot-config"],
            metavar="FILE",
            type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
            help="Dovecot's configuration.  [default: doveconf's own]",
        ),
    ],
)
