"""What is said of a spool's directory that the user may not use."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


STRANGER = 65_534

# Root may do anything, so it becomes somebody else first.
LOOK = f"""
import os, sys
from pathlib import Path
from lastlogin_producer.spool.directory import check_directory, prepare_directory
from lastlogin_service.exits import Exit

if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(*[{STRANGER}] * 3)
    os.setresuid(*[{STRANGER}] * 3)
try:
    {{"check": check_directory, "start": prepare_directory}}[sys.argv[1]](Path(sys.argv[2]))
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

    assert told.startswith(f"75 {closed / 'spool'}: this user may not enter {closed}; ask as the user that")
    assert "make" not in told


def test_itself_is_closed(place: Path) -> None:
    """The spool's own directory, there and not to be entered or written to, is said to be so."""
    spool = place / "spool"
    spool.mkdir()
    spool.chmod(0o500)
    if os.geteuid() == 0:
        os.chown(spool, STRANGER, STRANGER)

    told = look("check", spool)

    assert told.startswith(f"75 {spool}: this user may not enter and write to the spool's directory; ask as")
