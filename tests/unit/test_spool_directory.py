"""What is said of a spool's directory that the user may not use."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lastlogin_producer.spool.directory import prepare_directory
from lastlogin_service.exits import TEMPFAIL, Exit


STRANGER = 65_534

# Root may do anything, so it becomes somebody else first.
LOOK = f"""
import os, sys
from pathlib import Path
from lastlogin_producer.spool.directory import SpoolLock, check_directory, prepare_directory
from lastlogin_service.exits import Exit

if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(*[{STRANGER}] * 3)
    os.setresuid(*[{STRANGER}] * 3)
try:
    if sys.argv[1] == "check":
        check_directory(Path(sys.argv[2]))
    else:
        prepare_directory(Path(sys.argv[2]))
        SpoolLock(Path(sys.argv[2]) / "spool.lock")
except Exit as end:
    print(end.code, end.message)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may enter (pytest's own are private)."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def look(how: str, directory: Path) -> str:
    """The exit code and sentence that a user without special rights gets."""
    command = [sys.executable, "-c", LOOK, how, str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


@pytest.mark.parametrize("how", ["check", "start"])
@pytest.mark.parametrize("exists", [True, False])
def test_above_it_is_closed(place: Path, how: str, exists: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Where a directory above may not be entered, that one is named, whether the spool's is there or not."""
    closed = place / "closed"
    closed.mkdir()
    if exists:
        (closed / "spool").mkdir()
    closed.chmod(0o600)
    try:
        told = look(how, closed / "spool")
    finally:
        closed.chmod(0o700)

    assert told.startswith(f"78 {closed / 'spool'}: this user may not enter {closed}; ask as the user that")
    assert "make" not in told


def test_itself_is_closed(place: Path) -> None:
    """The spool's own directory, there and not to be entered or written to, is said to be so."""
    spool = place / "spool"
    spool.mkdir()
    spool.chmod(0o500)
    if os.geteuid() == 0:
        os.chown(spool, STRANGER, STRANGER)

    told = look("check", spool)

    assert told.startswith(f"78 {spool}: this user may not enter and write to the spool's directory; ask as")
    assert f"78 {spool}/spool.lock: cannot open the spool's lock file: Permission denied" == look("start", spool)


@pytest.mark.parametrize("how", ["check", "start"])
def test_what_is_above_it_is_missing(place: Path, how: str) -> None:
    """A directory that this user may not make needs a person, who is told of mounts that come later."""
    place.chmod(0o755)
    spool = place / "mnt" / "spool"
    if os.geteuid() != 0:
        place.chmod(0o555)

    told = look(how, spool)

    assert told.startswith(f"78 {spool}: cannot make the spool's directory: ")
    assert "name another one in spool.directory" in told
    assert "RequiresMountsFor=" in told


def test_a_disk_that_fails(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full or failing disk may be better at the next start."""

    def mkdir(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(Exit, match=r"cannot make the spool's directory: No space left on device$") as caught:
        prepare_directory(place / "spool")
    assert TEMPFAIL == caught.value.code
