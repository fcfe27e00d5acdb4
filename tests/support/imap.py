"""Logins by Dovecot's own imap processes, without its servers: each is started, says BYE, and writes its login."""

import contextlib
import os
import select
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lastlogin_stack.dovecot import current_account
from tests.support.crowd import Crowd
from tests.support.ledger import Ledger


PROGRAM = "/usr/lib/dovecot/imap"

# Above Dovecot's own 30 s for a dict that does not answer.
_END_S = 45.0
# Processes that have said BYE and wait for the dict. Real servers allow about as many (process_limit, client_limit).
_LINGERING = 400
_READ_BYTES = 4_096

_PLUGIN = """\
mail_plugins = last_login
plugin {{
  last_login_dict = proxy:{socket}:statsdb
  last_login_key = last-login/%s/%u
  last_login_precision = us
}}
"""


@dataclass(frozen=True, slots=True)
class ImapLogin:
    """One imap process: its start (monotonic), seconds from there to greeting and BYE, how it ended, complaints."""

    user: str
    begun: float
    greeting_s: float
    bye_s: float
    exit_code: int
    complaints: tuple[str, ...]

    @property
    def stored(self) -> bool:
        """Whether its dict client has read an `O`: of everything else it complains."""
        return self.exit_code == 0 and not self.complaints

    @property
    def refused(self) -> bool:
        """Whether it has read an `F`, or has not reached anybody."""
        return any("Failed to write" in complaint for complaint in self.complaints)


def configuration(directory: Path, socket: Path | None) -> Path:
    """Write a dovecot.conf into `directory`, which everybody must be able to enter. No `socket`: no last_login."""
    account = current_account()
    mail = directory / "mail"
    if not mail.exists():
        mail.mkdir()
        os.chown(mail, account.uid, account.gid)
    # Nobody selects a mailbox; one for all saves making thousands.
    text = f"""\
base_dir = {directory}/run
state_dir = {directory}/state
log_path = /dev/stderr
ssl = no
mail_location = maildir:{mail}/all
mail_uid = {account.uid}
mail_gid = {account.gid}
first_valid_uid = 1
first_valid_gid = 1
default_vsz_limit = 0
"""
    path = directory / ("dovecot.conf" if socket else "without.conf")
    path.write_text(text + (_PLUGIN.format(socket=socket) if socket else ""))
    path.chmod(0o644)
    return path


class ImapLogins(Crowd):
    """Logins of many users; `ended` has those whose process is gone.

    A process that has said BYE and waits for the dict holds nobody up: the next one starts.
    """

    def __init__(
        self, conf: Path, prefix: str, threads: int = 4, pause_s: float = 0.0, ledger: Ledger | None = None
    ) -> None:
        super().__init__(threads, pause_s)
        self.prefix = prefix
        self.ended: list[ImapLogin] = []
        self.begun = 0
        self._command = [PROGRAM, "-c", str(conf)]
        # It complains of a working directory that it may not enter.
        self._directory = conf.parent
        self._ledger = ledger
        self._lingering: list[tuple[subprocess.Popen[bytes], str, float, float, float]] = []

    def __str__(self) -> str:
        """Say how far it has come."""
        return f"{self.begun} imap logins begun, {len(self.ended)} ended"

    def __exit__(self, *error: object) -> None:
        """Wait until every process has ended."""
        super().__exit__(*error)
        deadline = time.monotonic() + _END_S
        while self._lingering and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.01)
        for process, *_ in self._lingering:
            process.kill()
        self._reap()

    def once(self, thread: int, number: int) -> None:
        """Start an imap process and wait for its BYE."""
        self._reap()
        if len(self._lingering) >= _LINGERING:
            self.pause(0.05)
            return
        user = f"{self.prefix}{thread}-{number}"
        if self._ledger is not None:
            self._ledger.sent(user)
        begun = time.monotonic()
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._directory,
            env={"USER": user, "PATH": os.environ["PATH"]},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(b"a logout\r\n")
        said = _read(process.stdout.fileno(), b"")
        greeting_s = time.monotonic() - begun
        while said and b"* BYE" not in said:
            said = _read(process.stdout.fileno(), said)
        bye_s = time.monotonic() - begun
        with self.lock:
            self.begun += 1
            self._lingering.append((process, user, begun, greeting_s, bye_s))

    def _reap(self) -> None:
        with self.lock:
            over = [each for each in self._lingering if each[0].poll() is not None]
            self._lingering = [each for each in self._lingering if each not in over]
        for process, user, begun, greeting_s, bye_s in over:
            assert process.stderr is not None
            with process:
                lines = process.stderr.read().decode(errors="replace").splitlines()
            complaints = tuple(line for line in lines if line and ": Info: " not in line)
            login = ImapLogin(user, begun, greeting_s, bye_s, process.returncode, complaints)
            if self._ledger is not None:
                self._record(self._ledger, login)
            with self.lock:
                self.ended.append(login)

    @staticmethod
    def _record(ledger: Ledger, login: ImapLogin) -> None:
        if login.stored:
            ledger.acked(login.user)
        elif login.refused:
            ledger.refused(login.user)


def _read(descriptor: int, before: bytes) -> bytes:
    """What was said before and what is said next; nothing when the process is gone. Raises TimeoutError."""
    if not select.select([descriptor], [], [], _END_S)[0]:
        message = f"an imap process says nothing for {_END_S:g} s"
        raise TimeoutError(message)
    data = os.read(descriptor, _READ_BYTES)
    return before + data if data else b""
