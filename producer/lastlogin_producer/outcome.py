"""What became of a message that the spool was asked to keep."""

from enum import Enum
from typing import NamedTuple


class Verdict(Enum):
    """The three answers that a client can be given, and what each of them promises."""

    STORED = "stored"
    """On disk: it will reach Kafka."""

    FULL = "full"
    """Not kept, and it never will be: quota or disk are used up."""

    UNCONFIRMED = "unconfirmed"
    """Perhaps kept: the write may have reached the disk, its confirmation did not reach us."""


class Outcome(NamedTuple):
    """A verdict and, unless stored, its reason in a few words for the mail server's log.

    The reason holds neither users nor addresses. A tuple, because one is compared for every login.
    """

    verdict: Verdict
    reason: str = ""


# The common outcome, made once.
STORED = Outcome(Verdict.STORED)


def full(reason: str = "spool full") -> Outcome:
    """Outcome of a message that was refused."""
    return Outcome(Verdict.FULL, reason)


def unconfirmed(reason: str) -> Outcome:
    """Outcome of a message that may or may not have been kept."""
    return Outcome(Verdict.UNCONFIRMED, reason)
