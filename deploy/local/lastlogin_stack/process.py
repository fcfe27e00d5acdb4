"""A process that outlives the command which started it, and is found again through a pid file.

A pid alone may by now belong to a stranger, so the file also holds the process's start time and the boot:
only a process for which all three agree is ever signalled.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


POLL_S = 0.05
# Enough for a Java stack trace; a log is never read whole.
TAIL_BYTES = 64 * 1024

# The kernel keeps a dead child until its parent asks for the exit code, so the parent must remember it.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """What tells one process from all others, also after its pid was given away again."""

    pid: int
    start_ticks: int
    boot_id: str

    def encode(self) -> str:
        """Return the pid file's text."""
        return f"{self.pid} {self.start_ticks} {self.boot_id}\n"


def decode_identity(text: str) -> ProcessIdentity | None:
    """Return what `encode` wrote, or None for anything else, such as a file cut short by a power loss."""
    parts = text.split()
    if len(parts) != 3 or not parts[0].isdecimal() or not parts[1].isdecimal():  # noqa: PLR2004 - the three fields
        return None
    return ProcessIdentity(int(parts[0]), int(parts[1]), parts[2])


def start_ticks(stat: str) -> int | None:
    """Return the start time (clock ticks since boot) in the text of /proc/<pid>/stat; None when it has ended.

    proc(5): the name in field 2 is in parentheses and may itself hold blanks and parentheses, so what follows
    its last parenthesis counts: the state is field 3, the number of threads field 20, the start time field 22.
    A zombie with more than one thread is still on its way out and holds its ports.
    """
    fields = stat.rpartition(")")[2].split()
    ended = fields[0] in {"Z", "X"} and int(fields[17]) <= 1
    return None if ended else int(fields[19])


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of a live process, or None when there is none with this pid."""
    try:
        ticks = start_ticks(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    if ticks is None:
        return None
    return ProcessIdentity(pid, ticks, Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())


@dataclass(slots=True)
class DetachedProcess:
    """One program with its pid file and its log; a new object on the same files finds the same process.

    It runs in a session of its own: a Ctrl-C in the terminal that started it does not reach it.
    """

    pid_file: Path
    log_file: Path
    exit_code: int | None = field(default=None, init=False)

    def start(self, command: Sequence[str], *, cwd: Path, environ: Mapping[str, str]) -> None:
        """Start the program; its output replaces the log, of which the last one is kept as `.1`.

        The caller has made sure that it is not running. Raises OSError when the program cannot be run.
        """
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_name(self.log_file.name + ".1"))
        with self.log_file.open("ab") as log:
            child = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.exit_code = None
        identity = identify(child.pid)
        if identity is None:
            self.pid_file.unlink(missing_ok=True)
            self.exit_code = child.wait()
            return
        _children[child.pid] = child
        self.pid_file.write_text(identity.encode(), encoding="ascii")

    def pid(self) -> int | None:
        """Return the pid while the process lives; remember its exit code when it was our child and has ended."""
        try:
            identity = decode_identity(self.pid_file.read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError):
            return None
        if identity is None:
            return None
        # In this order: a process that ends in between is still reported as alive, never as ended without its code.
        alive = identify(identity.pid) == identity
        child = _children.get(identity.pid)
        if child is not None and child.poll() is not None:
            self.exit_code = child.returncode
            del _children[identity.pid]
        return identity.pid if alive else None

    def stop(self, deadline_s: float) -> bool:
        """SIGTERM, then SIGKILL after the deadline; return whether it ended by itself (or did not run)."""
        pid = self.pid()
        if pid is None:
            self.pid_file.unlink(missing_ok=True)
            return True
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        ended = self._wait_gone(deadline_s)
        if not ended:
            self.kill()
        self.pid_file.unlink(missing_ok=True)
        return ended

    def kill(self) -> None:
        """SIGKILL the process and all that it started, and wait until it is gone."""
        pid = self.pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            self._wait_gone(10.0)  # only a process stuck in the kernel takes longer

    def tail(self, lines: int) -> list[str]:
        """Return the last lines of the log since the last start."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
                return log.read().decode("utf-8", "replace").splitlines()[-lines:]
        except FileNotFoundError:
            return []

    def _wait_gone(self, deadline_s: float) -> bool:
        deadline = time.monotonic() + deadline_s
        while self.pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True
