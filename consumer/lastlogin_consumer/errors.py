"""What can go wrong on the way, sorted by what the pipeline does about it.

ConsumerError
├── FetchFailed     nothing could be fetched now: wait, and try again from the same offset
│   └── Unreadable  ... because of a record: try fewer, then hold the partition at this offset
└── OffsetLost      Kafka no longer has the offset: report what is lost, go on at the earliest one

The contract's `TableNotReady`: at the start end, later say what to do, wait, and look again.
"""


class ConsumerError(Exception):
    """Base of this package's errors; never raised itself."""


class FetchFailed(ConsumerError):
    """Kafka refused or failed; the message says what to do where a person must do something."""


class Unreadable(FetchFailed):
    """A batch or record at or after the offset asked for is damaged, or larger than can be fetched."""


class OffsetLost(ConsumerError):
    """Records from `offset` on are gone; the earliest one that can be read is `resume_at`.

    `resume_at` is the lower one when the log ends before `offset`: it was truncated, or the topic made anew.
    """

    def __init__(self, offset: int, resume_at: int) -> None:
        super().__init__(f"offset {offset} is gone, the earliest one is {resume_at}")
        self.offset = offset
        self.resume_at = resume_at
