"""What the commands share that work on a spool, whether its producer runs or not."""

import os
import sys
from pathlib import Path

from lastlogin_producer.clock import now_us
from lastlogin_producer.settings import ProducerSettings
from lastlogin_producer.spool import Spool, SpoolFault
from lastlogin_producer.spool.directory import is_locked
from lastlogin_producer.spool.levels import stored_levels
from lastlogin_producer.spool.spool import FILE_NAME, LOCK_NAME
from lastlogin_service import logs
from lastlogin_service.exits import CONFIG, TEMPFAIL, Exit
from lastlogin_service.logs import LogSettings


def runs(settings: ProducerSettings) -> bool:
    """Whether a producer has the spool now. Raises `Exit(75)` where the kernel does not tell."""
    try:
        return is_locked(settings.spool.directory / LOCK_NAME)
    except OSError as error:
        why = f"cannot see whether a producer runs: {error.strerror}"
        raise Exit(TEMPFAIL, f"{settings.spool.directory / LOCK_NAME}: {why}") from None


def require_file(settings: ProducerSettings) -> Path:
    """Return the spool's file. Raises `Exit(78)` when there is none: no producer has ever run with these settings."""
    path = settings.spool.directory / FILE_NAME
    try:
        path.stat()
    except FileNotFoundError:
        raise Exit(
            CONFIG, f"{path}: there is no spool; are these the settings of the producer that is meant?"
        ) from None
    except OSError as error:
        why = f"{error.strerror}; do this as root or as the user that the producer runs as"
        raise Exit(CONFIG, f"{path}: cannot be looked at: {why}") from None
    return path


def open_spool(settings: ProducerSettings) -> Spool:
    """Open the spool of a producer that does not run, as its user; warnings go to standard error.

    Raises `Exit`: 78 without a spool, 75 when a producer has it after all. Must be closed.
    """
    path = require_file(settings)
    owner = path.stat()
    if os.geteuid() == 0 and owner.st_uid:
        # Files that root makes there would keep the producer from starting.
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
    logs.configure(LogSettings(level="warning", format="people"), sys.stderr)
    try:
        # Under its own name: an empty one of another name would be moved aside, as a start under that name does.
        backend = stored_levels(path).backend
    except SpoolFault:
        backend = settings.backend
    return Spool(settings.spool, backend, now_us)
