"""One client's conversation: bytes in, committed writes out; outcomes in, bytes out."""

from collections.abc import Mapping, Sequence

from lastlogin_producer.dictproto.commands import (
    CommittedWrite,
    ProtocolViolation,
    Refusal,
    RefusalReason,
    Request,
    ViolationReason,
)
from lastlogin_producer.dictproto.lines import LineBuffer
from lastlogin_producer.dictproto.replies import Command, ReplyQueue, outcome_line, reply_line
from lastlogin_producer.dictproto.tabescape import unescape
from lastlogin_producer.dictproto.transactions import (
    LINE_OVERHEAD_BYTES,
    BadTransactionIdError,
    Limits,
    OpenTransactions,
)
from lastlogin_producer.outcome import Outcome


_MAJORS = {b"H2": 2, b"H3": 3, b"H4": 4}
# Its hello names the user of all transactions and is not quoted, and it has asynchronous commits.
_MAJOR_2 = 2

# S<id> <key> <value>
_SET_FIELDS = 3

_MESSAGES: dict[RefusalReason, str] = {
    "not_begun": "no such transaction, or too many are open",
    "begun_twice": "transaction begun twice",
    "unsupported": "only set is supported",
    "malformed": "malformed set",
    "too_large": "transaction too large",
    "lookup": "look-ups are not supported",
}


class _ViolationError(Exception):
    def __init__(self, reason: ViolationReason) -> None:
        super().__init__(reason)
        self.reason: ViolationReason = reason


class DictConnection:
    """The server's side of one connection. `dict_names` has the dicts it serves, by their name as sent.

    For each chunk read: act on every request of `receive_data` (`reply` to each `CommittedWrite`, at any time and
    in any order), then write `data_to_send`, and again after each `reply`. While `full`, stop reading; when
    `input_waiting` after something was sent, go on with `receive_data(b"")`. No bytes make any method raise.
    """

    __slots__ = (
        "_dict_name",
        "_dict_names",
        "_limits",
        "_lines",
        "_major",
        "_next",
        "_open",
        "_replies",
        "_requests",
        "_user",
        "_violated",
        "_waiting",
        "_waiting_bytes",
    )

    def __init__(self, dict_names: Mapping[bytes, str], limits: Limits) -> None:
        self._dict_names = dict_names
        self._limits = limits
        self._major = 0
        self._user = b""
        self._dict_name = ""
        self._lines = LineBuffer(limits.line_bytes)
        self._open = OpenTransactions(limits)
        self._replies = ReplyQueue()
        self._requests: list[Request] = []
        # Lines of which all from `_next` on were not looked at.
        self._waiting: list[bytes] = []
        self._next = 0
        self._waiting_bytes = 0
        self._violated = False

    @property
    def line_unfinished(self) -> bool:
        """Whether a part of a line was read."""
        return self._lines.unfinished

    @property
    def transaction_open(self) -> bool:
        """Whether a transaction was begun and neither committed nor rolled back."""
        return bool(self._open)

    @property
    def full(self) -> bool:
        """Whether replies must leave before more is looked at."""
        return len(self._replies) >= self._limits.unanswered

    @property
    def input_waiting(self) -> bool:
        """Whether there is input that was not looked at because this was `full`."""
        return bool(self._waiting)

    @property
    def held_bytes(self) -> int:
        """What is kept of input that is not acted on, Python's objects included, roughly."""
        return self._lines.held_bytes + self._open.held_bytes + self._waiting_bytes

    def receive_data(self, data: bytes) -> Sequence[Request]:
        """Take what was read and return what it completes. After a `ProtocolViolation` all input is ignored."""
        if self._violated:
            return ()
        self._requests = []
        lines = self._lines.feed(data)
        if self._waiting:
            if lines:
                lines = self._waiting[self._next :] + lines
                self._next = 0
            else:
                lines = self._waiting
        try:
            self._take(lines)
        except _ViolationError as violation:
            self._violate(violation.reason)
        except BadTransactionIdError:
            self._violate("bad_transaction_id")
        if not self._waiting:
            self._waiting_bytes = 0
        elif data:
            self._waiting_bytes = sum(map(len, self._waiting)) + len(self._waiting) * LINE_OVERHEAD_BYTES
        return self._requests

    def drop_input(self) -> None:
        """Forget all that is not acted on, and ignore whatever comes."""
        self._violated = True
        self._lines = LineBuffer(0)
        self._open = OpenTransactions(self._limits)
        self._waiting = []
        self._waiting_bytes = 0

    def reply(self, write: CommittedWrite, outcome: Outcome) -> bool:
        """Answer a write; False when it had been answered before, which changes nothing."""
        command: Command = b"D" if write.asynchronous else b"C"
        line = outcome_line(outcome, command, write.transaction_id)
        return self._replies.fill(write.place, line)

    def data_to_send(self) -> bytes:
        """Replies that may leave now, in the order of their commands: up to the first outstanding one."""
        return self._replies.take()

    def _take(self, lines: list[bytes]) -> None:
        longest = self._limits.line_bytes
        start = self._next
        while start < len(lines):
            # A line makes one reply at most.
            room = self._limits.unanswered - len(self._replies)
            if room <= 0:
                # The list as it is: a copy for each portion of it would take the square of its length.
                self._waiting, self._next = lines, start
                return
            for line in lines[start : start + room]:
                if len(line) > longest:
                    raise _ViolationError("line_too_long")
                if self._major:
                    self._obey(line)
                else:
                    self._greet(line)
            start += room
        self._waiting, self._next = [], 0

    def _violate(self, reason: ViolationReason) -> None:
        self.drop_input()
        self._requests.append(ProtocolViolation(reason))

    def _greet(self, line: bytes) -> None:
        """Read H<major> <minor> <value type> <user> <dict>. It is never answered."""
        if line[:1] != b"H":
            raise _ViolationError("no_hello")
        try:
            major, _, _, user, name = line.split(b"\t", 4)
        except ValueError:
            raise _ViolationError("bad_hello") from None
        if major not in _MAJORS:
            raise _ViolationError("wrong_version")
        self._major = _MAJORS[major]
        if self._major == _MAJOR_2:
            self._user = user
        else:
            name = unescape(name.partition(b"\t")[0])
        if name not in self._dict_names:
            raise _ViolationError("unknown_dict")
        self._dict_name = self._dict_names[name]

    def _obey(self, line: bytes) -> None:
        fields = line.split(b"\t")
        if b"\x01" in line:
            fields = [unescape(field) for field in fields]
        command, transaction_id = line[:1], fields[0][1:]
        if command == b"S":
            if len(fields) == _SET_FIELDS:
                self._open.set(transaction_id, fields[1], fields[2])
            else:
                self._open.refuse(transaction_id, "malformed")
        elif command == b"B":
            user = fields[1] if self._major != _MAJOR_2 and len(fields) > 1 else self._user
            self._open.begin(transaction_id, user)
        elif command == b"C":
            self._end(b"C", transaction_id)
        else:
            self._obey_rare(command, transaction_id)

    def _obey_rare(self, command: bytes, transaction_id: bytes) -> None:
        match command:
            case b"D" if self._major == _MAJOR_2:
                self._end(b"D", transaction_id)
            case b"R":
                self._open.end(transaction_id)
            case b"L" | b"I":
                self._refuse(b"L", b"", "lookup")
            case b"U" | b"A" | b"P":
                self._open.refuse(transaction_id, "unsupported")
            case b"T" | b"V":
                # The time to give the write, and whether to keep values out of logs: we store the same.
                pass
            case _:
                raise _ViolationError("unknown_command")

    def _end(self, command: Command, transaction_id: bytes) -> None:
        transaction = self._open.end(transaction_id)
        if transaction is None:
            self._refuse(command, transaction_id, "not_begun")
        elif transaction.refusal is not None:
            self._refuse(command, transaction_id, transaction.refusal)
        elif not transaction.sets:
            self._replies.add(reply_line(b"O", command, transaction_id))
        else:
            self._requests.append(
                CommittedWrite(
                    transaction.user,
                    self._dict_name,
                    tuple(transaction.sets),
                    transaction_id,
                    command == b"D",
                    self._replies.add(None),
                )
            )

    def _refuse(self, command: Command, transaction_id: bytes, reason: RefusalReason) -> None:
        self._replies.add(reply_line(b"F", command, transaction_id, _MESSAGES[reason]))
        self._requests.append(Refusal(reason))
