"""The Dovecot of this host: its configuration, and whom its processes run as."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lastlogin_producer.doctor import dicts
from lastlogin_producer.doctor.access import Identity
from lastlogin_producer.doctor.doveconf import Configuration, parse
from lastlogin_producer.doctor.dovecot import Producer, judge
from lastlogin_producer.settings import ProducerSettings
from lastlogin_service.doctor.report import Line, error, ok, warning


_DEADLINE_S = 5.0
# sbin is not on everybody's path.
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/bin", "/usr/bin", "/usr/local/sbin"))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended; `code` None: it could not be run, or was too slow."""

    code: int | None
    out: str
    err: str


def program(name: str) -> str | None:
    """Where a program of Dovecot is, if it is here."""
    return shutil.which(name, path=_PATH)


async def run(*command: str, identity: Identity | None = None, deadline_s: float = _DEADLINE_S) -> Ended:
    """Run a program, as another user if this one is root."""
    whom: dict[str, Any] = (
        {} if identity is None else {"user": identity.uid, "group": identity.gid, "extra_groups": identity.groups}
    )
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, cwd="/", **whom
        )
    except OSError as why:
        return Ended(None, "", f"{command[0]}: {why.strerror}")
    try:
        out, err = await asyncio.wait_for(process.communicate(), deadline_s)
    except TimeoutError:
        return Ended(None, "", f"{command[0]} did not end within {deadline_s:g} s")
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
    return Ended(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class MailHost:
    """What was found of Dovecot; None what was not."""

    configuration: Configuration | None
    mail: Identity | None
    lines: Sequence[Line]


async def look(settings: ProducerSettings, doveconf: str | None, file: Path | None) -> MailHost:
    """Ask doveconf, and judge what it says; `file` is Dovecot's configuration where that is not its usual one."""
    check = "dovecot"
    command = doveconf or program("doveconf")
    if command is None:
        return MailHost(None, None, [ok(check, "not looked at: there is no doveconf on this host")])
    where = [] if file is None else ["-c", str(file)]
    # -P: last_login_key ends like a secret, and would be hidden like one.
    ended = await run(command, "-nP", *where)
    if ended.code != 0:
        why = " ".join(ended.err.split()) or f"it ended with {ended.code}"
        do = "mend Dovecot's configuration, or ask the doctor as root, or name another file with --dovecot-config"
        return MailHost(None, None, [warning(check, f"{command} -nP failed: {why}", do)])
    configuration = parse(ended.out)
    producer = Producer(
        socket=str(settings.socket.path),
        dicts=dicts.names(settings),
        misfit=partial(dicts.misfit, settings),
        resolved=os.path.realpath,
    )
    lines = judge(configuration, producer)
    try:
        mail = Identity.of(configuration.account)
    except KeyError as name:
        mail = None
        lines.append(
            error("dovecot.user", f"mail_uid or mail_gid is not known here: {name}", "make that user or group")
        )
    return MailHost(configuration, mail, lines)
