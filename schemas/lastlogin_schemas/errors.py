"""What can be wrong with a record, or with the table.

ContractError
├── Undecodable     the value or its headers are not what the contract says
└── TableNotReady   the table is not there, or another one; the message says what to do
"""

from typing import Literal, get_args


UndecodableReason = Literal[
    "null_value",
    "unknown_framing",
    "unknown_schema",
    "checksum_mismatch",
    "malformed_header",
    "malformed_avro",
    "trailing_bytes",
    "out_of_range",
]
UNDECODABLE_REASONS: tuple[UndecodableReason, ...] = get_args(UndecodableReason)


class ContractError(Exception):
    """Base of this package's errors; never raised itself."""


class Undecodable(ContractError):
    """A record that is not a sound message of its topic.

    `reason` is one of `UNDECODABLE_REASONS`, fit for a metric label; `detail` is a sentence for people and
    holds neither user names nor addresses.
    """

    def __init__(self, reason: UndecodableReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: UndecodableReason = reason
        self.detail = detail


class TableNotReady(ContractError):
    """The table is not there, or not what we can write and read; the message says what to do."""
