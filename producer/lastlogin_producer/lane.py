"""The rows that wait for one partition."""

from collections import deque
from random import Random

from lastlogin_producer.spool.row import Row
from lastlogin_service.backoff import Backoff


# A partition gets a new leader within seconds; one that refuses messages waits for a person.
_RETRY_FIRST_S = 0.2
_RETRY_CAP_S = 10.0


class Lane:
    """Rows for one partition; partition None stands for a topic that does not exist."""

    def __init__(self, topic: str, partition: int | None, rng: Random) -> None:
        self.topic = topic
        self.partition = partition
        self.rows: deque[Row] = deque()
        self.backoff = Backoff(_RETRY_FIRST_S, _RETRY_CAP_S, rng)
        self.active = False
        self.paused = partition is None
        self.skipped: int | None = None

    def offer(self, row: Row) -> bool:
        """Take the row, or remember that it was passed over while paused."""
        if self.paused:
            self.skip(row.sequence)
        else:
            self.rows.append(row)
        return not self.paused

    def skip(self, sequence: int) -> None:
        """Remember the first row that has to be read again."""
        self.skipped = sequence if self.skipped is None else min(self.skipped, sequence)
