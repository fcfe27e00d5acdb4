"""The rows that wait for one partition."""

import asyncio
from collections import deque
from collections.abc import Sequence
from random import Random

from lastlogin_producer.spool.row import Row
from lastlogin_service.backoff import Backoff


# A partition gets a new leader within seconds; one that refuses messages waits for a person.
_RETRY_FIRST_S = 0.2
_RETRY_CAP_S = 10.0


class Lane:
    """Rows for one partition, each taken once and in order; partition None stands for a topic that does not exist.

    A lane that is full, or that has let go of its rows because the partition did not take them, falls behind:
    `behind` is the first row that it has not got, and rows from there on are read for it once more. While `behind`
    is None it gets what is read at the end of the spool.
    """

    __slots__ = (
        "active",
        "backoff",
        "behind",
        "closed",
        "handed_over_at",
        "held_bytes",
        "held_rows",
        "max_bytes",
        "max_rows",
        "moved",
        "partition",
        "rows",
        "stalled",
        "topic",
        "turn",
    )

    def __init__(self, topic: str, partition: int | None, rng: Random, max_rows: int = 0, max_bytes: int = 0) -> None:
        self.topic = topic
        self.partition = partition
        self.max_rows = max_rows
        self.max_bytes = max_bytes
        # Set when there may be room again, or when it has let go.
        self.moved = asyncio.Event()
        # Taken, and not yet handed over to Kafka.
        self.rows: deque[Row] = deque()
        # Taken, and not yet acknowledged: what the bounds are about.
        self.held_rows = self.held_bytes = 0
        self.backoff = Backoff(_RETRY_FIRST_S, _RETRY_CAP_S, rng)
        # Whether a task serves it.
        self.active = False
        # Nothing is taken until the partition takes messages again.
        self.closed = partition is None
        # It had no room when it was its turn to catch up.
        self.stalled = False
        self.behind: int | None = None
        # Counts how often it let go: who has read for it meanwhile must not go on.
        self.turn = 0
        # When the batch that is under way was handed over (time.monotonic); None when there is none.
        self.handed_over_at: float | None = None

    @property
    def full(self) -> bool:
        """Whether it holds as much as it may."""
        return self.held_rows >= self.max_rows or self.held_bytes >= self.max_bytes

    @property
    def catches_up(self) -> bool:
        """Whether rows should be read for it once more."""
        return self.behind is not None and not self.closed and not self.stalled

    def take(self, row: Row) -> None:
        """Hold the row."""
        self.rows.append(row)
        self.held_rows += 1
        self.held_bytes += len(row.body)

    def fall_behind(self, sequence: int) -> None:
        """Remember the first row that has to be read again."""
        self.behind = sequence if self.behind is None else min(self.behind, sequence)

    def release(self, rows: Sequence[Row]) -> None:
        """Hold these no more: they are acknowledged."""
        self.held_rows -= len(rows)
        self.held_bytes -= sum([len(row.body) for row in rows])
        if self.stalled and self.held_rows * 2 <= self.max_rows and self.held_bytes * 2 <= self.max_bytes:
            self.stalled = False
        self.moved.set()

    def let_go(self, first: int) -> None:
        """Close, and forget all rows, of which `first` is the first that has to be read again."""
        self.rows.clear()
        self.held_rows = self.held_bytes = 0
        self.closed = True
        self.stalled = False
        self.turn += 1
        self.fall_behind(first)
        self.moved.set()
