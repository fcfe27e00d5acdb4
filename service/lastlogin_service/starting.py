"""The first line of a service: all that whoever is to help asks for first. No secrets, and no names of logins."""

import os
import platform
import re
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel

from lastlogin_service.logs import ServiceSettings


def tell_starting(name: str, settings: ServiceSettings, file: Path | None) -> None:
    """Log the line of the service `name`, whose `settings` were read from `file` and the environment."""
    release, host = version("lastlogin"), socket.gethostname()
    structlog.get_logger(name).info(
        f"{name} {release} starts on {host}, configured by {file or 'the environment'}",
        action="starting",
        version=release,
        host=host,
        pid=os.getpid(),
        python=platform.python_version(),
        system=_system(),
        kernel=f"{platform.release()} {platform.machine()}",
        libraries=dict(_libraries(name.removeprefix("lastlogin-"))),
        file=None if file is None else str(file),
        settings={key: _plain(reduce(getattr, key.split("."), settings)) for key in settings.told_at_start},
    )


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _libraries(role: str) -> Iterator[tuple[str, str]]:
    """Versions of what this role's packages ask for, and of the C libraries below."""
    for requirement in requires("lastlogin") or ():
        wanted, _, marker = requirement.partition(";")
        name = re.match(r"[\w.-]+", wanted)
        if name is None or ("extra" in marker and role not in re.findall(r"[\w-]+", marker)):
            continue
        try:
            yield name[0], version(name[0])
        except PackageNotFoundError:
            yield name[0], "missing"
    yield "openssl", ssl.OPENSSL_VERSION.split()[1]
    if (sqlite := sys.modules.get("sqlite3")) is not None:
        yield "sqlite", sqlite.sqlite_version


def _plain(value: Any) -> Any:
    """What JSON has a form for. Of tables only the names, of lists of tables only how many there are."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return [str(key) for key in value]
        case Sequence() if any(isinstance(each, BaseModel) for each in value) or not value:
            return len(value)
        case Sequence():
            return list(value)
    return str(value)
