"""What a client's bytes amount to."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args


RefusalReason = Literal["not_begun", "begun_twice", "unsupported", "malformed", "too_large", "lookup"]
REFUSAL_REASONS: tuple[RefusalReason, ...] = get_args(RefusalReason)

ViolationReason = Literal[
    "no_hello",
    "bad_hello",
    "wrong_version",
    "unknown_dict",
    "unknown_command",
    "bad_transaction_id",
    "line_too_long",
]
VIOLATION_REASONS: tuple[ViolationReason, ...] = get_args(ViolationReason)


class CommittedWrite(NamedTuple):
    """One transaction whose commit was read. Its client waits for `DictConnection.reply`.

    `user` is whom Dovecot says it is about, `entries` its set commands (key, value) in order; all unescaped.
    The rest is for the reply alone: the transaction's id as the client wrote it, whether the commit was an
    asynchronous one, and the place among the connection's replies. A tuple, since one is made for every login: a
    frozen dataclass costs three times as much.
    """

    user: bytes
    dict_name: str
    entries: tuple[tuple[bytes, bytes], ...]
    transaction_id: bytes = b""
    asynchronous: bool = False
    place: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that is answered `F` in its turn: nothing was stored, nothing is left to do."""

    reason: RefusalReason


@dataclass(frozen=True, slots=True)
class ProtocolViolation:
    """There is no talking to this client: send what earlier commands are owed, then close."""

    reason: ViolationReason


Request: TypeAlias = CommittedWrite | Refusal | ProtocolViolation
