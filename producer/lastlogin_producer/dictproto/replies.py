"""What goes back: the grammar, whole, and the order.

Nothing but `reply_line` makes bytes for a client. A stray byte crashes mail processes, a stray line is taken for
the reply to the next command, and `N` for success.
"""

import re
from functools import lru_cache
from typing import Literal, TypeAlias

from lastlogin_producer.outcome import Outcome


# What is answered: commit, asynchronous commit (major 2), look-up or iteration.
Command: TypeAlias = Literal[b"C", b"D", b"L"]
# Stored, not stored, perhaps stored.
Verdict: TypeAlias = Literal[b"O", b"F", b"W"]

# Printable ASCII needs no quoting, and cannot play tricks in a log.
_UNPRINTABLE = re.compile(rb"[^\x20-\x7e]")
# Fits a line of the mail server's log; ours are shorter.
_MAX_MESSAGE_BYTES = 200


def reply_line(verdict: Verdict, command: Command, transaction_id: bytes = b"", message: str = "") -> bytes:
    """Line that answers `command`. `message` says why, unless the verdict is `O`.

    `transaction_id` is decimal digits, for C and D. Look-ups always fail, and have no id. An asynchronous commit
    knows `AO<id>` and `AF<id>`, no more: 2.2.10 skips `AW`, and an id with text behind it, and waits for ever
    (src/lib-dict/dict-client.c:343-365).
    """
    if command == b"C":
        if verdict == b"O":
            return b"O%b\n" % transaction_id
        return b"%b%b\t%b\n" % (verdict, transaction_id, _printable(message))
    if command == b"D":
        return b"A%b%b\n" % (b"O" if verdict == b"O" else b"F", transaction_id)
    return b"F%b\n" % _printable(message)


_VERDICTS: dict[Outcome, Verdict] = {Outcome.STORED: b"O", Outcome.FULL: b"F", Outcome.UNCONFIRMED: b"W"}


# Nearly every login has the id 1, and is stored.
@lru_cache(maxsize=64)
def outcome_line(outcome: Outcome, command: Command, transaction_id: bytes) -> bytes:
    """Line that tells a commit what became of its write."""
    return reply_line(_VERDICTS[outcome], command, transaction_id, outcome.value)


class ReplyQueue:
    """Replies in the order of their commands: a client takes each for the answer to its oldest open one."""

    __slots__ = ("_first", "_lines")

    def __init__(self) -> None:
        # None where the outcome is outstanding.
        self._lines: list[bytes | None] = []
        self._first = 0

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, line: bytes | None) -> int:
        """Give the next place, which is returned, to a reply; None keeps it for one that comes later."""
        self._lines.append(line)
        return self._first + len(self._lines) - 1

    def fill(self, place: int, line: bytes) -> bool:
        """Put a reply into the place kept for it; False when it has one."""
        index = place - self._first
        if index < 0 or self._lines[index] is not None:
            return False
        self._lines[index] = line
        return True

    def take(self) -> bytes:
        """Return what may leave now: the replies up to the first outstanding one."""
        lines = self._lines
        if not lines or lines[0] is None:
            return b""
        ready: list[bytes] = []
        for line in lines:
            if line is None:
                break
            ready.append(line)
        del lines[: len(ready)]
        self._first += len(ready)
        return b"".join(ready)


def _printable(message: str) -> bytes:
    return _UNPRINTABLE.sub(b"?", message.encode("ascii", "replace"))[:_MAX_MESSAGE_BYTES]
