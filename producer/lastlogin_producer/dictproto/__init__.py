"""Dovecot's dict protocol, the server's side, without I/O.

connection    bytes in, committed writes out; outcomes in, bytes out
commands      what a client's bytes amount to
lines         bytes to lines
whole         a login that comes in one piece, read at once
transactions  those that were begun and not ended, within limits
replies       what may go back: the closed grammar, the order
tabescape     how fields are quoted

References to Dovecot are to its source: 2.4.4, and for major 2 also 2.2.10.
"""

from lastlogin_producer.dictproto.commands import (
    REFUSAL_REASONS,
    VIOLATION_REASONS,
    CommittedWrite,
    ProtocolViolation,
    Refusal,
    RefusalReason,
    Request,
    ViolationReason,
)
from lastlogin_producer.dictproto.connection import DictConnection
from lastlogin_producer.dictproto.replies import outcome_line, reply_line
from lastlogin_producer.dictproto.transactions import Limits
from lastlogin_producer.dictproto.whole import WholeLogins


__all__ = [
    "REFUSAL_REASONS",
    "VIOLATION_REASONS",
    "CommittedWrite",
    "DictConnection",
    "Limits",
    "ProtocolViolation",
    "Refusal",
    "RefusalReason",
    "Request",
    "ViolationReason",
    "WholeLogins",
    "outcome_line",
    "reply_line",
]
