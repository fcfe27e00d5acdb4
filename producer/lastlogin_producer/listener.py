"""The socket file that Dovecot connects to."""

import errno
import grp
import os
import pwd
import socket
import stat
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from lastlogin_producer.settings import SocketSettings
from lastlogin_producer.unix_sockets import listening_inodes
from lastlogin_service.exits import CONFIG, TEMPFAIL, Exit
from lastlogin_service.inherited import inherited, take


# Far above any system's net.core.somaxconn, to which the kernel lowers it. A login that meets a full backlog waits
# 3 s for room; there is no such thing as a backlog too long, for what is queued is answered or closed in turn.
BACKLOG = 65_535

# A server that is alive has the kernel accept for it at once; it only fails to when its backlog is full.
_PROBE_TIMEOUT_S = 1.0


_MAY_NOT_GIVE = {
    "owner": "only root may give the socket to another user; leave it out, or name the user that the producer runs as",
    "group": "the user that the producer runs as is not in this group; make it a member (`usermod -aG`; under systemd "
    "Group= or SupplementaryGroups=), or name a group that it is in",
}


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

    # Whether the socket goes on without us, and takes clients on for the next start.
    outlives: ClassVar[bool] = False

    def __init__(self, file: SocketFile) -> None:
        self._file = file
        self._identity: tuple[int, int] | None = None

    @property
    def path(self) -> Path:
        """Where clients connect to."""
        return self._file.path

    @property
    def in_place(self) -> bool:
        """Whether the file is still the one that clients find us by; while the socket is open none has its inode."""
        return self._identity is not None and self._identity == _identity(self._file.path)

    def open(self) -> socket.socket:
        """Make the file and listen; one that nobody listens on any more is replaced.

        The file appears under its name only when it has its rights and is listened to: a client that meets it a moment
        earlier would be refused, and Dovecot tries for 3 s. Until then it is called `<path>.<process id>`.

        Raises Exit: 75 when another server listens there, 78 when the path cannot be used.
        """
        path = self._file.path
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        unnamed = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            uid, gid = self._ids()
            self._require_gift(uid, gid)
            self._remove_stale()
            unnamed.unlink(missing_ok=True)
            # Set before the file exists: a mode that is set later comes too late.
            umask = os.umask(0o777 & ~self._file.mode)
            try:
                listening.bind(str(unnamed))
            finally:
                os.umask(umask)
            try:
                os.chown(unnamed, uid, gid)
                listening.listen(BACKLOG)
                # Not by renaming, which would take the place of whoever has come meanwhile.
                path.hardlink_to(unnamed)
            finally:
                unnamed.unlink()
        except OSError as error:
            listening.close()
            if error.errno in (errno.EADDRINUSE, errno.EEXIST):
                raise Exit(TEMPFAIL, f"{path}: another server has just begun to listen there") from None
            raise _unusable(path, error.strerror or str(error)) from None
        except Exit:
            listening.close()
            raise
        self._identity = _identity(path)
        return listening

    def check(self) -> bool:
        """Say whether a server listens there now, without connecting to it.

        Raises Exit(78) when the path cannot be used.
        """
        path = self._file.path
        ids = self._ids()
        if path.exists() and not path.is_socket():
            raise _no_socket(path)
        if not path.parent.is_dir():
            raise _unusable(path, os.strerror(errno.ENOENT))
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise _unusable(path, os.strerror(errno.EACCES))
        names = listening_inodes(path).values() if path.is_socket() else ()
        if str(path) not in names:
            # Else the service manager has made it, and given it away by its own settings.
            self._require_gift(*ids)
        return bool(names)

    def remove(self) -> None:
        """Remove the file if it is still the one that `open` made."""
        # Gone already, or the directory is; there is nothing left to remove.
        with suppress(OSError):
            if self.in_place:
                self._file.path.unlink()
        self._identity = None

    def _ids(self) -> tuple[int, int]:
        file = self._file
        try:
            uid = -1 if file.owner is None else pwd.getpwnam(file.owner).pw_uid
            gid = -1 if file.group is None else grp.getgrnam(file.group).gr_gid
        except KeyError as error:
            raise Exit(CONFIG, f"{file.path}: owner or group is not known to this system: {error.args[0]}") from None
        return uid, gid

    def _require_gift(self, uid: int, gid: int) -> None:
        """Raise Exit(78) when this user may not give a file there to that owner and group; -1 leaves them."""
        above = self._file.path.parent.stat()
        if above.st_mode & stat.S_ISGID and above.st_gid == gid:
            # Whatever is made there has that group from the first.
            gid = -1
        # The kernel knows best what groups and capabilities allow. This file is in memory, and has no name.
        with os.fdopen(os.memfd_create("gift"), "wb") as gift:
            for key, name, ids in (("owner", self._file.owner, (uid, -1)), ("group", self._file.group, (-1, gid))):
                try:
                    os.fchown(gift.fileno(), *ids)
                except OSError as error:
                    raise Exit(CONFIG, f"socket.{key}: {name} - {_MAY_NOT_GIVE[key]} ({error.strerror})") from None

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


class InheritedListener(Listener):
    """The listening socket that the service manager made, and holds while we restart; its file is the manager's."""

    outlives = True

    def __init__(self, file: SocketFile, environ: MutableMapping[str, str]) -> None:
        super().__init__(file)
        self._environ = environ

    def open(self) -> socket.socket:
        """Take the socket over. Raises Exit(78) when it is not one that Dovecot reaches by the configured path."""
        descriptors = inherited(self._environ)
        if len(descriptors) != 1:
            raise _misfit(f"hands over {len(descriptors)} sockets, and it must be one")
        # The manager's own descriptor stays open for the end, see `nobody_left_waiting`.
        listening = socket.socket(fileno=os.dup(descriptors[0]))
        try:
            wrong = _wrong_with(listening, self._file.path)
        except OSError as error:
            wrong = f"hands over what is no socket: {error.strerror}"
        if wrong is not None:
            listening.close()
            raise _misfit(wrong)
        take(self._environ)
        listening.setblocking(False)
        self._identity = _identity(self._file.path)
        return listening

    def remove(self) -> None:
        """Leave the file to whoever made it."""
        self._identity = None


def listener_of(settings: SocketSettings, environ: MutableMapping[str, str]) -> Listener:
    """Whom the service manager made a socket for takes that; everybody else makes one."""
    file = SocketFile.of(settings)
    return InheritedListener(file, environ) if inherited(environ) else Listener(file)


def _wrong_with(listening: socket.socket, path: Path) -> str | None:
    if listening.family != socket.AF_UNIX or listening.type != socket.SOCK_STREAM:
        return "hands over a socket that is no UNIX stream socket (ListenStream=)"
    if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "hands over a socket that does not listen (Accept=no)"
    if listening.getsockname() != str(path):
        return f"listens on {listening.getsockname()}, and socket.path is {path}: make them the same"
    return None


def _misfit(why: str) -> Exit:
    return Exit(CONFIG, f"The service manager (lastlogin-producer.socket) {why}")


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


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
