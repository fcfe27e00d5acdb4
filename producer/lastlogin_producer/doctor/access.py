"""Whether a process of another user could connect to a socket, told by modes and owners."""

import grp
import os
import pwd
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lastlogin_producer.doctor.doveconf import Account


@dataclass(frozen=True, slots=True)
class Identity:
    """User and groups of a process."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @classmethod
    def of(cls, account: Account) -> Self | None:
        """Dovecot's mail processes; None when each user's own decide. Raises KeyError for unknown names."""
        if account.uid is None:
            return None
        uid = int(account.uid) if account.uid.isdigit() else pwd.getpwnam(account.uid).pw_uid
        gid = _gid(account.gid) if account.gid is not None else pwd.getpwuid(uid).pw_gid
        return cls(uid, gid, tuple(_gid(name) for name in account.groups))

    def __str__(self) -> str:
        """As `id` shows it."""
        groups = ",".join(str(group) for group in (self.gid, *self.groups))
        return f"uid {self.uid}, gid {groups}"


def _gid(name: str) -> int:
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid


def obstacle(path: Path, identity: Identity) -> str | None:
    """What keeps a process of `identity` from connecting to the socket at `path`, None when nothing does.

    Connecting takes the right to write to the file, and to enter every directory on the way. Raises OSError.
    """
    if identity.uid == 0:
        return None
    real = path.resolve()
    for directory in reversed(real.parents):
        if not _allowed(directory.stat(), identity, os.X_OK):
            return f"may not enter {_described(directory)}"
    return None if _allowed(real.stat(), identity, os.W_OK) else f"may not write to {_described(real)}"


def _allowed(status: os.stat_result, identity: Identity, wanted: int) -> bool:
    # The first class that fits decides, even if a later one would allow more (path_resolution(7)).
    if status.st_uid == identity.uid:
        return bool(status.st_mode >> 6 & wanted)
    if status.st_gid in _groups(identity):
        return bool(status.st_mode >> 3 & wanted)
    return bool(status.st_mode & wanted)


def _groups(identity: Identity) -> Collection[int]:
    return (identity.gid, *identity.groups)


def _described(path: Path) -> str:
    status = path.stat()
    return f"{path} (mode {stat.S_IMODE(status.st_mode):04o}, uid {status.st_uid}, gid {status.st_gid})"
