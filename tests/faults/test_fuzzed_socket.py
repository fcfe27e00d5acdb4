"""Case 19: bytes that nobody meant, on the real socket of a real producer."""

import re
import socket
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.support.backend import Backend
from tests.support.crowd import Crowd
from tests.support.scale import seeded


LINES = 1_000_000
MIB = 1_048_576

_GRAMMAR = re.compile(rb"(?:(?:O|A[OF])[0-9]+\n|[FW][0-9]+\t[\x20-\x7e]+\n|F[\x20-\x7e]+\n)*")
_HELLOS = [b"H3\t2\t0\t\tstatsdb", b"H2\t1\t0\tfuzz\tstatsdb", b"H4\t0\t0\t\tstatsdb"]
_COMMANDS = [
    b"B1\tfuzz",
    b"B2\tfuzz\t0",
    b"S1\tshared/last-login/imap/fuzz/192.0.2.1\t1795387910161",
    b"S2\tshared/last-login/imap/fuzz\t0",
    b"T1\t1\t2",
    b"V1\tyes",
    b"C1",
    b"C2",
    b"R1",
    b"U1\tshared/x",
    b"A1\tshared/x\t1",
    b"Lshared/last-login/imap/fuzz\tfuzz",
    b"I0\t0\tshared/\tfuzz",
]
# More, and nearly every connection would end before anything was answered.
_MUTATED = 0.033
_PIECES = [b"\t", b"\0", b"\x01", b"\x011", b"\r", b"\n", b"\xff\xfe", b"4294967296", b"-1", b"x" * 300, b""]


def mutated(line: bytes, rng: Random) -> bytes:
    """The line, or, one time in thirty, with something cut out, changed or put in."""
    for _ in range(rng.choice((1, 1, 2, 8)) if rng.random() < _MUTATED else 0):
        at, end = sorted((rng.randint(0, len(line)), rng.randint(0, len(line))))
        line = line[:at] + rng.choice((rng.choice(_PIECES), rng.randbytes(3))) + line[rng.choice((at, at, end)) :]
    return line


class Fuzz(Crowd):
    """Connections that send what nobody meant, and read whatever comes back."""

    def __init__(self, path: Path, seed: int, threads: int) -> None:
        super().__init__(threads, 0.0)
        self.path = path
        self.lines = 0
        self.replies = 0
        self.ungrammatical: list[bytes] = []
        self._rngs = [Random(f"{seed}-{thread}") for thread in range(threads)]  # noqa: S311 - repeatable on purpose

    def __str__(self) -> str:
        """Say how far it has come."""
        return f"{self.lines} lines sent"

    def once(self, thread: int, number: int) -> None:
        """One connection of up to 60 lines: mostly a conversation that goes wrong, now and then mere noise."""
        rng = self._rngs[thread]
        count = rng.randint(1, 60)
        if rng.random() < 0.1:
            data = rng.randbytes(rng.randint(1, 5_000))
        else:
            hello = rng.choice(_HELLOS)
            # Only major 2 knows it.
            commands = [*_COMMANDS, b"D1"] if hello.startswith(b"H2") else _COMMANDS
            lines = [hello, *rng.choices(commands, k=count)]
            data = b"\n".join(mutated(line, rng) for line in lines) + b"\n"
        replies = exchange(self.path, data)
        with self.lock:
            self.lines += data.count(b"\n")
            self.replies += replies.count(b"\n")
            if not _GRAMMAR.fullmatch(replies):
                self.ungrammatical.append(replies)


def exchange(path: Path, data: bytes) -> bytes:
    """Send it, say that this was all, and read until the server closes. Raises TimeoutError when it does not."""
    replies = b""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while received := connection.recv(65_536):
                replies += received
        except (BrokenPipeError, ConnectionResetError):
            # It has closed before it had read everything.
            return replies
    return replies


def test_a_million_lines_of_noise(backend: Backend, figures: Callable[[str], None]) -> None:
    """Of 10^6 lines none makes it say what is no reply, grow, fail, or forget the others' logins."""
    _, seed = seeded()
    rss: list[int] = []
    with Fuzz(backend.producer.socket, seed, 4) as fuzz, backend.load("beside-", threads=2, pause_s=0.01) as load:
        for share in (0.2, 1.0):
            fuzz.wait_until(lambda fuzz, share=share: fuzz.lines >= share * LINES, 120)  # type: ignore[misc]
            rss.append(backend.producer.memory_bytes())
    found = backend.finish()
    figures(
        f"seed {seed}, {fuzz.lines} lines, {fuzz.replies} replies, {len(load.acknowledged)} logins beside, RSS "
        f"{rss[0] / MIB:.1f} then {rss[1] / MIB:.1f} MiB; {str(found).splitlines()[0]}"
    )

    assert [] == fuzz.ungrammatical
    assert fuzz.replies > LINES / 50
    assert [] == load.other_replies
    assert 0 == load.connect_failures
    assert [] == found.missing
    assert {} == found.holes
    assert rss[1] - rss[0] < 8 * MIB
    assert "Traceback" not in backend.producer.output()
