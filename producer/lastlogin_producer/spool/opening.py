"""How the spool's file is found at a start: as it was left, damaged, or of an older name."""

from collections.abc import Callable
from pathlib import Path

import structlog

from lastlogin_producer.settings import SpoolSettings
from lastlogin_producer.spool.directory import move_aside
from lastlogin_producer.spool.faults import Damaged
from lastlogin_producer.spool.file import SpoolFile
from lastlogin_producer.spool.kept import Keep
from lastlogin_producer.spool.salvage import finish_salvage, is_broken, salvage, unmark_broken


_log = structlog.get_logger(__name__)


def keep_of(settings: SpoolSettings) -> Keep:
    """How much is kept with these settings: a quarter of what may wait."""
    if not settings.keep_hours:
        return Keep(rows=0, bytes=0, age_us=0)
    return Keep(settings.max_rows // 4, settings.max_bytes // 4, int(settings.keep_hours * 3_600_000_000))


def open_file(path: Path, backend: str, now_us: Callable[[], int], keep: Keep) -> SpoolFile:
    """Open the file, or make it; a damaged one is moved aside, with what can be read of it in a new one.

    Raises `SpoolFault`, OSError and `Exit` as `SpoolFile` does.
    """
    finish_salvage(path, now_us())
    if not path.exists():
        # Somebody has moved the damaged file away, and the note that it is one is not about the next.
        unmark_broken(path)
    fault = Damaged("a part of it could not be read while it was in use") if is_broken(path) else None
    if fault is None:
        try:
            file = SpoolFile(path, backend, now_us(), keep)
        except Damaged as found:
            fault = found
    if fault is not None:
        saved = salvage(path, backend, now_us())
        aside = finish_salvage(path, now_us())
        _log.error(
            f"{path}: the spool is damaged ({fault}); it was moved to {aside}, and a new one takes its place with "
            f"{saved.rows} messages that could be read" + (f"; {saved.incomplete}" if saved.incomplete else ""),
            action="spool_damaged",
            salvaged=saved.rows,
        )
        file = SpoolFile(path, backend, now_us(), keep)
    if file.meta.backend == backend:
        return file
    # Those set aside would be out of sight of every count and command in a file of another name.
    if file.meta.rows or file.aside:
        _log.warning(
            f"The spool holds {file.meta.rows} messages of the backend {file.meta.backend}, and "
            f"{sum(file.aside.values())} set aside; that name stays in use until a start finds the spool empty of both",
            action="backend_kept",
        )
        return file
    file.close()
    move_aside(path, "renamed", now_us())
    return SpoolFile(path, backend, now_us(), keep)
