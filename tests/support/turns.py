"""Tests of two runs at once, and those among them that need the machine to themselves."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(directory: Path, *, alone: bool) -> Iterator[None]:
    """Run a test beside those of other runs; `alone`: beside none, once those that run have ended.

    `directory` is one that the runs share.
    """
    with (directory / "next").open("w") as first_in_line, (directory / "running").open("w") as running:
        # Whoever waits to be alone holds up those that come after it: else their tests could take turns for ever.
        fcntl.flock(first_in_line, fcntl.LOCK_EX)
        fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(first_in_line, fcntl.LOCK_UN)
        try:
            yield
        finally:
            # Not left to the end of the block: what a test has forked and left running has the file open too.
            fcntl.flock(running, fcntl.LOCK_UN)
