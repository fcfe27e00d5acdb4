"""The spool as the doctor sees it: its directory, its disk, and what is in it."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median

from lastlogin_producer.control import Status
from lastlogin_producer.settings import ProducerSettings, SpoolSettings
from lastlogin_producer.spool import SpoolFault
from lastlogin_producer.spool.directory import check_directory
from lastlogin_producer.spool.levels import StoredLevels, moved_aside_files, stored_levels
from lastlogin_producer.spool.room import FREE_BYTES
from lastlogin_producer.spool.spool import FILE_NAME
from lastlogin_service.doctor.report import Line, error, ok, warning
from lastlogin_service.exits import Exit


_SYNCS = 20
# As much as a login takes, on a page of its own.
_SYNC_BYTES = 4_096
# A group of logins waits for one; mail waits for the group.
_SLOW_SYNC_S = 0.010
# What the file takes above what is counted, and the WAL (docs/operations.md, "The spool").
_FILE_FACTOR = 1.05
_FILE_BYTES = 8 * 1_048_576
_FULL_SHARE = 0.7
_OLD_S = 300.0
_MIB = 1_048_576


def look(settings: SpoolSettings) -> Iterator[Line]:
    """Look at the directory and the disk it is on. Blocks while the disk does."""
    directory = settings.directory
    check = "spool.directory"
    try:
        status = directory.stat()
    except FileNotFoundError:
        yield error(check, f"{directory}: does not exist", "start the producer, which makes it, as its own user")
        return
    except OSError as why:
        yield warning(check, f"{directory}: {why.strerror}", "ask the doctor as root or as the producer's user")
        return
    try:
        # Root looks as the user whose directory it is.
        check_directory(directory, status.st_uid if os.geteuid() == 0 else os.geteuid())
    except Exit as end:
        found, _, do = end.message.partition("; ")
        yield error(check, found, do or "let the producer's user write there; ask the doctor as that user or as root")
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            return
    else:
        yield ok(check, f"{directory}: uid {status.st_uid} alone may write")
    yield _space(settings)
    yield _sync(directory)


def _space(settings: SpoolSettings) -> Line:
    check = "spool.space"
    status = os.statvfs(settings.directory)
    free = status.f_bavail * status.f_frsize
    path = settings.directory / FILE_NAME
    taken = sum(part.stat().st_size for part in (path, Path(f"{path}-wal")) if part.exists())
    wanted = int(settings.max_bytes * _FILE_FACTOR) + _FILE_BYTES - taken
    shown = f"{free // _MIB} MiB free; up to {max(wanted, 0) // _MIB} MiB more for spool.max_bytes"
    if free < FREE_BYTES:
        return error(check, f"{shown}: logins are refused", "free space on that disk")
    if free < wanted:
        return warning(check, shown, "free space on that disk, or lower spool.max_bytes")
    return ok(check, shown)


def _sync(directory: Path) -> Line:
    check = "spool.sync"
    took = []
    try:
        # Without a name, or gone with the last descriptor: nothing is left behind.
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            for _ in range(_SYNCS):
                file.write(bytes(_SYNC_BYTES))
                begun = time.monotonic()
                os.fdatasync(file.fileno())
                took.append(time.monotonic() - begun)
    except OSError as why:
        return warning(check, f"cannot write to {directory}: {why.strerror}", "ask the doctor as the producer's user")
    shown = (
        f"{median(took) * 1000:.2f} ms to make 4 KiB durable (median of {_SYNCS}, at most {max(took) * 1000:.1f} ms)"
    )
    if median(took) > _SLOW_SYNC_S:
        return warning(check, shown, "put spool.directory on a faster disk, or one with a protected write cache")
    return ok(check, shown)


def levels(settings: ProducerSettings, status: Status | None) -> Iterator[Line]:
    """How full it is: by the running producer's word if there is one, else by the file."""
    path = settings.spool.directory / FILE_NAME
    with suppress(PermissionError):
        if not path.exists():
            return
    try:
        stored = stored_levels(path)
    except SpoolFault as fault:
        yield warning(
            "spool.level", f"{path}: cannot be read: {fault}", "ask the doctor as root, with a producer there"
        )
        return
    rows, size = stored.rows_waiting, stored.bytes_waiting
    if status is not None:
        rows, size = status.rows_waiting, status.bytes_waiting
        yield _age(status)
    share = max(rows / settings.spool.max_rows, size / settings.spool.max_bytes)
    shown = f"{rows} messages wait, {size // _MIB} MiB: {share:.0%} of what spool.max_rows and max_bytes allow"
    if share >= 1:
        yield error("spool.level", f"{shown}; logins are refused", "see the lines on Kafka, or raise spool.max_*")
    elif share >= _FULL_SHARE:
        yield warning("spool.level", shown, "see the lines on Kafka, or raise spool.max_*")
    else:
        yield ok("spool.level", shown)
    yield _aside(path, stored)


def _age(status: Status) -> Line:
    shown = f"the oldest waiting message came in {status.oldest_age_s:.0f} s ago"
    if status.oldest_age_s > _OLD_S:
        return warning("spool.age", shown, "see the lines on Kafka")
    return ok("spool.age", shown if status.rows_waiting else "nothing waits")


def _aside(path: Path, stored: StoredLevels) -> Line:
    files = ", ".join(map(str, moved_aside_files(path)))
    if stored.set_aside or files:
        found = f"{stored.set_aside} messages in the table `{stored.set_aside_table}`, never sent"
        found += f"; damaged files: {files}" * bool(files)
        return warning("spool.set_aside", found, "look at the disk; docs/operations.md, 'A damaged spool'")
    return ok("spool.set_aside", "nothing")
