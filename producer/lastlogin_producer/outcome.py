"""What became of a message that the spool was asked to keep."""

from enum import Enum


class Outcome(Enum):
    """The answers that a client can be given. The value is the reason as the mail server's log will show it."""

    STORED = "stored"
    """On disk: it will reach Kafka."""

    FULL = "spool full"
    """Not kept, and it never will be: the quota or the disk is used up."""

    UNCONFIRMED = "not confirmed by the spool"
    """Perhaps kept: the write failed where nobody can tell how far it came, or it took too long."""

    # Each is there once. Enum's own hash is a function in Python, and a login looks one up three times.
    __hash__ = object.__hash__
