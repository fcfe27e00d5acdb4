"""What is stored survives kill -9."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import IO

import pytest

from tests.support.spool import open_spool, users


KILLS = 20


@pytest.fixture
def writer() -> Iterator["Writer"]:
    """The process that makes children to kill."""
    command = [sys.executable, "-m", "tests.support.spool_writer"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Writer(process.stdin, process.stdout)
        process.kill()


class Writer:
    """Runs a child until it has reported enough, then kills it."""

    def __init__(self, commands: IO[str], answers: IO[str]) -> None:
        self._commands = commands
        self._answers = answers

    def run_and_kill(self, directory: Path, first: int, reports: int) -> list[int]:
        """Numbers of the logins that the child reported as stored before it was gone."""
        print(directory, first, file=self._commands, flush=True)
        stored: list[int] = []
        pid = 0
        while not (pid and len(stored) >= reports):
            line = self._answers.readline()
            if line.startswith("pid "):
                pid = int(line.removeprefix("pid "))
            else:
                stored.append(int(line))
        os.kill(pid, signal.SIGKILL)
        print("wait", file=self._commands, flush=True)
        while (line := self._answers.readline()) != "dead\n":
            stored.append(int(line))
        return stored


async def test_kill_9(writer: Writer, tmp_path: Path) -> None:
    """After each of 20 kills every login reported as stored is there, numbered 1, 2, 3, ... without a gap."""
    rng = Random(20)  # noqa: S311 - repeatable on purpose
    reported: set[str] = set()
    for kill in range(KILLS):
        stored = writer.run_and_kill(tmp_path, kill * 100_000, rng.randrange(200))
        reported.update(f"user{number}" for number in stored)
        async with open_spool(tmp_path) as spool:
            rows = await users(spool)

        assert reported <= {user for _, user in rows}
        assert list(range(1, len(rows) + 1)) == [sequence for sequence, _ in rows]
    assert len(reported) > KILLS
