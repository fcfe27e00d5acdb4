"""What storing counts."""

from dataclasses import dataclass, field

from lastlogin_service.histogram import Histogram


# A disk that may lie in its own memory takes a tenth of a millisecond, an SSD one to five, a hard disk tens, 4,096
# messages 40 ms; a login waits for 2 s at most, and the kernel gives up after 30.
SYNC_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 10.0, 30.0)
# One login on a quiet host; a hundred under a load that a disk can just take; no batch is larger than 4,096.
SYNC_BOUNDS_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 4_096)


@dataclass(slots=True)
class SyncStats:
    """Batches of messages that were made durable since the start: how long each took, and how many messages it had."""

    seconds: Histogram = field(default_factory=lambda: Histogram(SYNC_BOUNDS_S))
    rows: Histogram = field(default_factory=lambda: Histogram(SYNC_BOUNDS_ROWS))
