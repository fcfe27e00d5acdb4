"""The turns that tests of two runs take."""

import fcntl
from pathlib import Path
from threading import Event, Thread

from tests.support.turns import turn


def _free(directory: Path, name: str, kind: int) -> bool:
    """Tell whether whoever comes now would get a lock at once."""
    with (directory / name).open("w") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_tests_run_beside_each_other(tmp_path: Path) -> None:
    """Each keeps off those that must be alone, and no others; afterwards nobody is kept off."""
    with turn(tmp_path, alone=False), turn(tmp_path, alone=False):
        assert not _free(tmp_path, "running", fcntl.LOCK_EX)
        assert _free(tmp_path, "running", fcntl.LOCK_SH)
    assert _free(tmp_path, "running", fcntl.LOCK_EX)


def test_alone(tmp_path: Path) -> None:
    """Nothing runs beside it; what waits for it to end comes next."""
    with turn(tmp_path, alone=True):
        assert not _free(tmp_path, "running", fcntl.LOCK_SH)
        assert _free(tmp_path, "next", fcntl.LOCK_EX)


def test_who_waits_to_be_alone_is_next(tmp_path: Path) -> None:
    """Tests that come later wait behind it, though they could run beside the one that it waits for."""
    ran = Event()

    def alone() -> None:
        with turn(tmp_path, alone=True):
            ran.set()

    waiting = Thread(target=alone)
    with turn(tmp_path, alone=False):
        waiting.start()
        while _free(tmp_path, "next", fcntl.LOCK_EX):
            pass
        assert not ran.is_set()
    waiting.join()
    assert ran.is_set()
