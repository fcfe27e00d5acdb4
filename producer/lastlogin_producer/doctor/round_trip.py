"""A login of the doctor's own, from the socket to Kafka.

It is a real message on the events topic, of the user `lastlogin-doctor` and the service `doctor`: the one way to show
that all of it works. The consumer has no column for that service and writes no row. (Where no key pattern has
$service, it counts as the default service, and that user gets a row.)
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from lastlogin_producer.control import Status
from lastlogin_producer.doctor.access import Identity
from lastlogin_producer.doctor.dicts import DOCTOR_USER
from lastlogin_producer.doctor.mail_host import program, run
from lastlogin_service.doctor.report import Line, error, ok, warning
from lastlogin_service.exits import Exit


# As long as Dovecot's mail processes wait for nothing else.
_REPLY_S = 3.0
_KAFKA_S = 5.0
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Trip:
    """How it went; `span_s` is when it was under way by this host's clock, None when it has not come to Kafka."""

    lines: list[Line]
    span_s: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """What is written, where, and as whom (None: as this user); `doveadm` tells whether that program can do it."""

    socket: Path
    dict_name: str
    key: str
    identity: Identity | None = None
    doveadm: bool = False


async def travel(login: Login, status: Callable[[], Awaitable[Status]]) -> Trip:
    """Write, then ask the producer until Kafka has it. `status` asks; it raises `Exit`."""
    check = "round_trip"
    began_at = time.time()
    how, fault = await _write(login)
    if fault is not None and await _is_silent(status):
        found = f"the producer takes no login within {_REPLY_S:g} s, and does not answer on its control socket"
        do = "restart it: each login waits for 30 s now; under systemd its watchdog does, after 10 s"
        return Trip([error(check, found, do)])
    if fault is not None:
        do = "see the lines on the socket and the spool, and the producer's log"
        return Trip([error(check, f"a login of {DOCTOR_USER} was not acknowledged by the producer: {fault}", do)])
    replied_at = time.time()
    took = f"{how} was acknowledged in {(replied_at - began_at) * 1000:.0f} ms"
    try:
        first = last = await status()
        async with asyncio.timeout(_KAFKA_S):
            # In order: when Kafka has taken as many as waited after the reply, ours is among them.
            while last.rows_waiting and last.published < first.published + first.rows_waiting:
                await asyncio.sleep(_LOOK_EVERY_S)
                last = await status()
    except TimeoutError:
        found = f"{took}, and waits in the spool: {last.rows_waiting} messages wait for Kafka"
        return Trip([error(check, found, "see the lines on Kafka")])
    except Exit as end:
        found, _, do = end.message.partition("; ")
        return Trip([warning(check, f"{took}; whether Kafka has it is not known: {found}", do or "ask as root")])
    now = time.time()
    return Trip([ok(check, f"{took}, and by Kafka {(now - replied_at) * 1000:.0f} ms later")], (began_at, now))


async def _is_silent(status: Callable[[], Awaitable[Status]]) -> bool:
    try:
        await asyncio.wait_for(status(), _REPLY_S)
    except TimeoutError:
        return True
    except Exit:
        # Refused, or not ours to ask.
        return False
    return False


async def _write(login: Login) -> tuple[str, str | None]:
    """Return how it was written, and what went wrong."""
    value = str(time.time_ns() // 1_000_000)
    key = f"shared/{login.key}"
    doveadm = program("doveadm") if login.doveadm else None
    if doveadm is None:
        return "a login", await _as_a_client(login, key, value)
    uri = f"proxy:{login.socket}:{login.dict_name}"
    command = (doveadm, "-O", "dict", "set", "-u", DOCTOR_USER, uri, key, value)
    ended = await run(*command, identity=login.identity, deadline_s=_REPLY_S)
    whom = "" if login.identity is None else " as Dovecot's user"
    if ended.code == 0:
        return f"`doveadm dict set`{whom}", None
    return "", " ".join(ended.err.split()) or f"`doveadm dict set`{whom} ended with {ended.code}"


async def _as_a_client(login: Login, key: str, value: str) -> str | None:
    """Speak as Dovecot 2.3 does. The user is ours and needs no escaping, nor does what patterns consist of."""
    lines = f"H3\t2\t0\t\t{login.dict_name}\nB1\t{DOCTOR_USER}\nS1\t{key}\t{value}\nC1\n"
    try:
        async with asyncio.timeout(_REPLY_S):
            reader, writer = await asyncio.open_unix_connection(login.socket)
            try:
                writer.write(lines.encode())
                reply = await reader.readline()
            finally:
                writer.close()
    except TimeoutError:
        return f"no reply within {_REPLY_S:g} s"
    except OSError as why:
        return why.strerror or "the connection was closed"
    if reply.startswith(b"O1"):
        return None
    return reply.decode(errors="replace").strip() or "the connection was closed without a reply"
