"""Listening sockets that the service manager made and handed over (socket activation, sd_listen_fds(3)).

They outlive the service: who connects while it restarts waits for the next start. That is a promise that somebody will
come, so a service that will not must take its socket away.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from lastlogin_service.exits import CONFIG


_FIRST = 3
# A start takes half a second, on a busy machine two or three; clients wait for tens of seconds before they give up.
_PATIENCE_S = 10.0
_RELIEF_S = 0.5
_COUNT, _PID, _NAMES = "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"


def inherited(environ: Mapping[str, str]) -> tuple[int, ...]:
    """Return the descriptors that were handed to this process. No child of ours inherits them."""
    count = environ.get(_COUNT, "")
    if environ.get(_PID) != str(os.getpid()) or not count.isdecimal():
        return ()
    descriptors = tuple(range(_FIRST, _FIRST + int(count)))
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return descriptors


def take(environ: MutableMapping[str, str]) -> None:
    """Say that the sockets are served from now on: what waits in them is then left to the next start."""
    for name in (_COUNT, _PID, _NAMES):
        environ.pop(name, None)


# A descriptor with the path of its socket, empty if it has none, and what was there at the start.
_Held: TypeAlias = tuple[int, tuple[str, os.stat_result | None]]


@contextmanager
def nobody_left_waiting(name: str, environ: Mapping[str, str]) -> Iterator[None]:
    """Look after the handed-over sockets when the program `name`, which runs inside, ends with a failure.

    With 78 it is not started again: the sockets' files are removed and the sockets shut down, which makes systemd stop
    the socket unit. Ending before anybody called `take`, the start has failed and so may the next one: who waits is
    turned away, else each client would wait for its own time-out. So is whoever waits for a start that does not come to
    an end, because a disk hangs.

    The descriptors themselves must not be closed inside; serve duplicates.
    """
    sockets = [(descriptor, _file(descriptor)) for descriptor in inherited(environ)]
    if sockets:
        threading.Thread(target=_relieve, args=(sockets, environ), name="relief", daemon=True).start()
    try:
        yield
    except SystemExit as end:
        for descriptor, file in sockets:
            with socket.socket(fileno=descriptor) as listening:
                if end.code == CONFIG:
                    _give_up(name, listening, file)
                elif end.code and _COUNT in environ:
                    _turn_away(listening)
        raise


def _relieve(sockets: list[_Held], environ: Mapping[str, str]) -> None:
    time.sleep(_PATIENCE_S)
    while _COUNT in environ:
        for descriptor, _ in sockets:
            with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as listening:
                _turn_away(listening)
        time.sleep(_RELIEF_S)


def _file(descriptor: int) -> tuple[str, os.stat_result | None]:
    """Path of a UNIX socket and what is there now; empty for other sockets."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as listening:
            path = listening.getsockname() if listening.family == socket.AF_UNIX else ""
            return path, os.lstat(path) if path else None
    except OSError:
        return "", None


def _give_up(name: str, listening: socket.socket, file: tuple[str, os.stat_result | None]) -> None:
    path, status = file
    left = ""
    try:
        if status is not None and os.path.samestat(status, os.lstat(path)):
            Path(path).unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        left = f", but its file {path} cannot be removed ({error.strerror}): remove it"
    with suppress(OSError):
        listening.shutdown(socket.SHUT_RDWR)
    _turn_away(listening)
    sys.stderr.write(f"{name}: the listening socket {path or listening.fileno()} was shut down{left}\n")


def _turn_away(listening: socket.socket) -> None:
    """Close whatever waits to be accepted."""
    with suppress(OSError):
        listening.setblocking(False)
        while True:
            listening.accept()[0].close()
