"""The transactions that a client has begun and not ended, within bounds."""

from dataclasses import dataclass, field

from lastlogin_producer.dictproto.commands import RefusalReason


# Dovecot's unsigned int.
_MAX_ID = 2**32 - 1
_MAX_ID_DIGITS = len(str(_MAX_ID))

# What Python needs for the objects of a line, or of a transaction, beside their bytes.
LINE_OVERHEAD_BYTES = 128
_TRANSACTION_OVERHEAD_BYTES = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may make us keep. A login takes a transaction of one set and some 200 bytes."""

    # Dovecot's own clients send no longer lines (DICT_CLIENT_MAX_LINE_LENGTH); the newline is not counted.
    line_bytes: int = 65_536
    # Dovecot's plugin opens one.
    open_transactions: int = 64
    # Of one transaction. last_login_dict_fields makes a handful.
    sets: int = 64
    # Of all transactions since none was open, overhead included: two longest lines, far below Kafka's 1 MiB a message.
    open_bytes: int = 131_072
    # Commands whose reply has not left; what follows is kept and not looked at. A login waits for its one.
    unanswered: int = 64


class BadTransactionIdError(Exception):
    """Not a decimal number of 32 bits; nothing that names it can be answered."""


@dataclass(slots=True)
class Transaction:
    """What was read of a transaction, or the reason why its commit will be refused."""

    user: bytes
    sets: list[tuple[bytes, bytes]] = field(default_factory=list)
    refusal: RefusalReason | None = None


class OpenTransactions:
    """Open transactions by their id as the client wrote it. Every method raises BadTransactionIdError.

    Whatever goes wrong inside a transaction is remembered until its commit, the only command that is answered.
    A command for a transaction that was never begun opens one that is refused: after a reconnect Dovecot may send
    the end of a transaction whose beginning the old connection took, and that must never pass for a whole one.
    """

    __slots__ = ("_bytes", "_limits", "_open")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: dict[bytes, Transaction] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def held_bytes(self) -> int:
        """What is kept of them, Python's objects included: rather too much, for it is all since none was open."""
        return self._bytes + len(self._open) * _TRANSACTION_OVERHEAD_BYTES

    def begin(self, transaction_id: bytes, user: bytes) -> None:
        """Begin a transaction for `user`. Beyond the limit it is ignored, so that its commit finds none."""
        if transaction_id in self._open:
            self.refuse(transaction_id, "begun_twice")
            return
        _check_id(transaction_id)
        if len(self._open) < self._limits.open_transactions:
            self._open[transaction_id] = Transaction(user)
            self._bytes += len(user) + LINE_OVERHEAD_BYTES
            if self._bytes > self._limits.open_bytes:
                self.refuse(transaction_id, "too_large")

    def set(self, transaction_id: bytes, key: bytes, value: bytes) -> None:
        """Add the entry of a set command."""
        transaction = self._open.get(transaction_id)
        if transaction is None:
            self.refuse(transaction_id, "not_begun")
        elif transaction.refusal is None:
            transaction.sets.append((key, value))
            self._bytes += len(key) + len(value) + LINE_OVERHEAD_BYTES
            if self._bytes > self._limits.open_bytes or len(transaction.sets) > self._limits.sets:
                self.refuse(transaction_id, "too_large")

    def refuse(self, transaction_id: bytes, reason: RefusalReason) -> None:
        """Have the commit refused; the first reason stays, what was read so far is dropped."""
        transaction = self._open.get(transaction_id)
        if transaction is None:
            _check_id(transaction_id)
            if len(self._open) < self._limits.open_transactions:
                self._open[transaction_id] = Transaction(b"", refusal="not_begun")
        elif transaction.refusal is None:
            self._open[transaction_id] = Transaction(b"", refusal=reason)

    def end(self, transaction_id: bytes) -> Transaction | None:
        """Take a transaction out, if it was begun."""
        transaction = self._open.pop(transaction_id, None)
        if transaction is None:
            _check_id(transaction_id)
        elif not self._open:
            self._bytes = 0
        return transaction


def _check_id(transaction_id: bytes) -> None:
    if not (transaction_id.isdigit() and len(transaction_id) <= _MAX_ID_DIGITS and int(transaction_id) <= _MAX_ID):
        raise BadTransactionIdError
