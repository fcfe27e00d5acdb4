"""The directory of the spool: who may write to it, files moved aside, and one process at a time."""

import errno
import fcntl
import os
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

from lastlogin_service.exits import CONFIG, TEMPFAIL, Exit


_LOCK_TIMES, _LOCK_S = 20, 0.05

_ALLOW = "ask as the user that the producer runs as (the doctor also as root), or give this user that right"
_MAKE = (
    "make it for the user that the producer runs as, or name another one in spool.directory; if it is on a mount that "
    "may come later, have the service wait for that (RequiresMountsFor= in its unit)"
)
# Rights and paths, which no new start mends; all others are the disk's, also one that has become read-only.
_NEEDS_A_PERSON = {
    errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG,
}  # fmt: skip


def prepare_directory(directory: Path) -> None:
    """Make `directory` with mode 0700 if it is missing, so that it survives a power loss.

    Raises `Exit`: 78 when somebody else could replace the spool under us, and when it cannot be made or used for want
    of a right or of what is above it; 75 when the disk fails.
    """
    try:
        _make(directory)
        status = directory.stat()
    except OSError as error:
        raise _unusable(directory, error) from None
    _require_safe(directory, status, os.geteuid())


def check_directory(directory: Path, uid: int | None = None) -> None:
    """Say whether `prepare_directory` would succeed for user `uid`, without making anything. Raises as it does."""
    try:
        status = directory.stat()
    except FileNotFoundError:
        above = next(parent for parent in directory.parents if parent.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            raise _unmakeable(directory, f"this user may not make directories in {above}", CONFIG) from None
    except OSError as error:
        raise _unusable(directory, error) from None
    else:
        _require_safe(directory, status, os.geteuid() if uid is None else uid)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise Exit(CONFIG, f"{directory}: this user may not enter and write to the spool's directory; {_ALLOW}")


def _unusable(directory: Path, error: OSError) -> Exit:
    # From the top, for below a closed one nothing can be told, not even whether the spool's own is there.
    for above in reversed(directory.parents) if isinstance(error, PermissionError) else ():
        if os.access(above, os.F_OK) and not os.access(above, os.X_OK):
            return Exit(CONFIG, f"{directory}: this user may not enter {above}; {_ALLOW}")
    return _unmakeable(directory, error.strerror or str(error), _code(error))


def _unmakeable(directory: Path, why: str, code: int) -> Exit:
    way_out = f"; {_MAKE}" if code == CONFIG else ""
    return Exit(code, f"{directory}: cannot make the spool's directory: {why}{way_out}")


def _code(error: OSError) -> int:
    return CONFIG if error.errno in _NEEDS_A_PERSON else TEMPFAIL


def _require_safe(directory: Path, status: os.stat_result, uid: int) -> None:
    if not stat.S_ISDIR(status.st_mode):
        raise Exit(CONFIG, f"{directory}: spool.directory must name a directory")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Exit(
            CONFIG,
            f"{directory}: other users may write to the spool's directory (mode "
            f"{stat.S_IMODE(status.st_mode):04o}); take that right away: chmod go-w {directory}",
        )
    if status.st_uid not in (uid, 0):
        raise Exit(
            CONFIG,
            f"{directory}: the spool's directory belongs to another user (uid {status.st_uid}); "
            f"give it to uid {uid}, which this service runs as",
        )


def _make(directory: Path) -> None:
    """Make what is missing of the path, each part's name durable before the next one is made."""
    if directory.exists():
        return
    _make(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
    sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_aside(path: Path, why: str, now_us: int) -> Path:
    """Rename the closed file with its WAL to `<name>.<why>-<time>`, and return that name. Raises OSError."""
    now = datetime.fromtimestamp(now_us / 1_000_000, UTC)
    aside = path.with_name(f"{path.name}.{why}-{now:%Y%m%dT%H%M%S.%fZ}")
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    sync_directory(path.parent)
    return aside


def is_locked(path: Path) -> bool:
    """Whether some process holds a `SpoolLock` on `path`; asked without taking it. Raises OSError without /proc."""
    try:
        descriptor = os.open(path, os.O_PATH)
    except OSError:
        return False
    try:
        inode, device = os.fstat(descriptor).st_ino, _device(descriptor)
    finally:
        os.close(descriptor)
    # proc_locks(5): number, kind, ADVISORY, WRITE, pid, major:minor:inode, start, end
    locks = (line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines())
    return any(lock[1] == "FLOCK" and lock[5] == f"{device}:{inode}" for lock in locks)


def _device(descriptor: int) -> str:
    """Device of an open file, in hexadecimal, as the kernel lists locks: btrfs, for one, gives stat another one."""
    own = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines()
    [mount] = [line.split()[1] for line in own if line.startswith("mnt_id:")]
    # proc_pid_mountinfo(5): mount id, parent, major:minor
    mounts = (line.split() for line in Path("/proc/self/mountinfo").read_bytes().decode(errors="replace").splitlines())
    [device] = [fields[2] for fields in mounts if fields[0] == mount]
    return ":".join(f"{int(number):02x}" for number in device.split(":"))


class SpoolLock:
    """An flock on a file beside the spool, held until `release` or the end of the process, however it ends.

    Raises `Exit`: 75 when another process holds it, for two writers would give out the same sequence numbers; 78 when
    this user may not.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Exit(_code(error), f"{path}: cannot open the spool's lock file: {error.strerror}") from None
        try:
            self._lock()
        except OSError as error:
            os.close(self._descriptor)
            if not isinstance(error, BlockingIOError):
                raise Exit(TEMPFAIL, f"{path}: cannot lock the spool: {error.strerror}") from None
            raise Exit(
                TEMPFAIL,
                f"{path}: another producer uses this spool; stop it, or give this one a spool.directory of its own",
            ) from None

    def _lock(self) -> None:
        """Wait a moment for an outbox that is about to notice that its producer was killed."""
        for _ in range(_LOCK_TIMES - 1):
            try:
                return fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOCK_S)
        return fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Let another process have the spool."""
        os.close(self._descriptor)
