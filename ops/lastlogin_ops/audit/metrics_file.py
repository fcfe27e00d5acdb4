"""The file from which node_exporter reads what audits found."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lastlogin_ops.audit.metrics import not_judged
from lastlogin_service.exits import CONFIG, SOFTWARE, UNAVAILABLE, Exit


# Others read it: node_exporter has a user of its own.
_MODE = 0o644
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def write(file: Path, text: str) -> None:
    """Put the text in the file's place, whole or not at all. Raises `Exit`: 69 no room, 78 no place to write to."""
    descriptor, part = _beside(file)
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
            os.fchmod(descriptor, _MODE)
            stream.write(text)
            stream.flush()
            # Else a power loss may leave the new name with nothing in it.
            os.fsync(descriptor)
        part.replace(file)
    except OSError as error:
        part.unlink()
        raise _failure(file, error) from None


@contextmanager
def telling_failures(file: Path) -> Iterator[None]:
    """Tell in the file when the audit in this block fails; interrupted it tells nothing.

    Raises `Exit` before the block when the file could not be written, for an audit may take hours.
    """
    descriptor, part = _beside(file)
    os.close(descriptor)
    part.unlink()
    try:
        yield
    except Exception as error:
        before = ""
        with suppress(OSError, ValueError):
            before = file.read_text("utf-8")
        # People are told why the audit failed; a file that grows old tells the rest.
        with suppress(Exit):
            write(file, not_judged(before, error.code if isinstance(error, Exit) else SOFTWARE))
        raise


def _beside(file: Path) -> tuple[int, Path]:
    """Make an empty file that can take the place of `file`; node_exporter does not look at its name."""
    try:
        descriptor, part = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    except OSError as error:
        raise _failure(file, error) from None
    return descriptor, Path(part)


def _failure(file: Path, error: OSError) -> Exit:
    code = UNAVAILABLE if error.errno in _PASSING else CONFIG
    todo = "let this user write to its directory, or name another place with --metrics-file"
    if error.errno == errno.ENOENT:
        todo = "make its directory, writable for this user"
    return Exit(code, f"{file}: cannot be written: {error.strerror}" + f"; {todo}" * (code == CONFIG))
