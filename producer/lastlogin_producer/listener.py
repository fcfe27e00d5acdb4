"""The socket file that Dovecot connects to."""

import errno
import grp
import os
import pwd
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lastlogin_producer.settings import SocketSettings
from lastlogin_service.exits import CONFIG, TEMPFAIL, Exit


# Far above any system's net.core.somaxconn, to which the kernel lowers it. A login that meets a full backlog waits
# 3 s for room; there is no such thing as a backlog too long, for what is queued is answered or closed in turn.
BACKLOG = 65_535

# A server that is alive has the kernel accept for it at once; it only fails to when its backlog is full.
_PROBE_TIMEOUT_S = 1.0

# /proc/net/unix: columns of a socket that has a path, and the flags of one that listens (__SO_ACCEPTCON).
_WITH_PATH = 8
_ACCEPTING = "00010000"


@dataclass(frozen=True, slots=True)
class SocketFile:
    """Where the socket is, and who may connect to it; owner and group as names, None to leave them."""

    path: Path
    mode: int = 0o660
    owner: str | None = None
    group: str | None = None

    @classmethod
    def of(cls, settings: SocketSettings) -> Self:
        """What `[socket]` says."""
        return cls(settings.path, int(settings.mode, 8), settings.owner, settings.group)


class Listener:
    """The listening socket of one server, and its file."""

    def __init__(self, file: SocketFile) -> None:
        self._file = file
        self._identity: tuple[int, int] | None = None

    @property
    def path(self) -> Path:
        """Where clients connect to."""
        return self._file.path

    def open(self) -> socket.socket:
        """Make the file and listen; one that nobody listens on any more is replaced.

        Raises Exit: 75 when another server listens there, 78 when the path cannot be used.
        """
        path = self._file.path
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            uid, gid = self._ids()
            self._remove_stale()
            # Set before the file exists: a mode that is set later comes too late.
            umask = os.umask(0o777 & ~self._file.mode)
            try:
                listening.bind(str(path))
            finally:
                os.umask(umask)
            self._identity = _identity(path)
            os.chown(path, uid, gid)
            listening.listen(BACKLOG)
        except OSError as error:
            self.remove()
            listening.close()
            if error.errno == errno.EADDRINUSE:
                raise Exit(TEMPFAIL, f"{path}: another server has just begun to listen there") from None
            raise _unusable(path, error.strerror or str(error)) from None
        except Exit:
            listening.close()
            raise
        return listening

    def check(self) -> bool:
        """Say whether a server listens there now, without connecting to it.

        Raises Exit(78) when the path cannot be used.
        """
        path = self._file.path
        self._ids()
        if path.exists() and not path.is_socket():
            raise _no_socket(path)
        if not path.parent.is_dir():
            raise _unusable(path, os.strerror(errno.ENOENT))
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise _unusable(path, os.strerror(errno.EACCES))
        return path.is_socket() and _is_listened_to(path)

    def remove(self) -> None:
        """Remove the file if it is still the one that `open` made; while the socket is open none has its inode."""
        if self._identity is None:
            return
        try:
            if _identity(self._file.path) == self._identity:
                self._file.path.unlink()
        except OSError:
            # Gone already, or the directory is; there is nothing left to remove.
            pass
        self._identity = None

    def _ids(self) -> tuple[int, int]:
        file = self._file
        try:
            uid = -1 if file.owner is None else pwd.getpwnam(file.owner).pw_uid
            gid = -1 if file.group is None else grp.getgrnam(file.group).gr_gid
        except KeyError as error:
            raise Exit(CONFIG, f"{file.path}: owner or group is not known to this system: {error.args[0]}") from None
        return uid, gid

    def _remove_stale(self) -> None:
        path = self._file.path
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise _no_socket(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_PROBE_TIMEOUT_S)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
                return
            except FileNotFoundError:
                return
            except (TimeoutError, BlockingIOError):
                pass
        raise taken(path)


def taken(path: Path) -> Exit:
    """Say that another server has the path."""
    return Exit(TEMPFAIL, f"{path}: another server listens there; stop it, or configure another path")


def _no_socket(path: Path) -> Exit:
    return Exit(CONFIG, f"{path}: is not a socket; remove it, or configure another path")


def _unusable(path: Path, why: str) -> Exit:
    return Exit(
        CONFIG,
        f"{path}: cannot listen there: {why}; its directory must exist, and this user "
        "must be allowed to make a socket there and to give it to the configured owner and group",
    )


def _is_listened_to(path: Path) -> bool:
    """Look in the kernel's list (proc_net(5)): to connect would be to make the server take on a client."""
    lines = Path("/proc/net/unix").read_text(errors="surrogateescape").splitlines()[1:]
    # Num RefCount Protocol Flags Type St Inode Path
    sockets = [line.split(maxsplit=7) for line in lines]
    return any(len(found) == _WITH_PATH and found[3] == _ACCEPTING and found[7] == str(path) for found in sockets)


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino
