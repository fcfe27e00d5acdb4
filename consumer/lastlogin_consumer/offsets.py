"""Which offsets may be committed. Pure.

Three offsets of a partition must not be confused. The *position* is where the next fetch begins; it belongs to
the pipeline. The *watermark* is the offset up to which everything is done: rows acknowledged by Cassandra, the
unusable acknowledged by the dead-letter topic. *Committed* is the watermark that Kafka was last told.
position >= watermark >= committed. All three name the next offset, not the last one.
"""

from collections.abc import Iterable, Sequence

from lastlogin_consumer.decode import Record


def next_offset(records: Sequence[Record]) -> int:
    """Offset after the last of `records`, of which there is at least one."""
    return records[-1].offset + 1


def missing(position: int, records: Sequence[Record]) -> int:
    """How many offsets from `position` to the last of `records` have no record.

    In a topic without transactions and compaction there is none: a client that skips records shows here.
    """
    return next_offset(records) - position - len(records)


class Watermarks:
    """Watermarks of the partitions assigned now; others are forgotten, so that they can never be committed."""

    def __init__(self) -> None:
        self._done: dict[int, int | None] = {}
        self._committed: dict[int, int] = {}

    def assign(self, partitions: Iterable[int]) -> None:
        """Begin a new assignment; nothing is done in it yet."""
        self._done = dict.fromkeys(partitions)
        self._committed = {}

    def done(self, partition: int, watermark: int) -> None:
        """Everything before `watermark` is done. Without effect for a partition that is no longer assigned.

        It may go back: a topic made anew starts at 0.
        """
        if partition in self._done:
            self._done[partition] = watermark

    def uncommitted(self) -> dict[int, int]:
        """Watermarks that Kafka does not know yet, by partition."""
        return {
            partition: watermark
            for partition, watermark in self._done.items()
            if watermark is not None and watermark != self._committed.get(partition)
        }

    def committed(self, watermarks: dict[int, int]) -> None:
        """Kafka has acknowledged `watermarks`."""
        self._committed.update({p: w for p, w in watermarks.items() if p in self._done})
