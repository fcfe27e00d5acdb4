"""What the way to Kafka counts."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

from lastlogin_service.histogram import Histogram


PublishOutcome = Literal["acknowledged", "failed"]
PUBLISH_OUTCOMES: tuple[PublishOutcome, ...] = get_args(PublishOutcome)

# A broker beside us takes 2 ms, one with replicas in other rooms tens; above 2.5 s it is an outage, which ends with
# the request's timeout (20 s unless set).
PUBLISH_BOUNDS_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class PublishStats:
    """Counts since the start, over all connections to Kafka."""

    # Messages that Kafka acknowledged, by topic.
    published: Counter[str] = field(default_factory=Counter)
    # From handing over a batch to its acknowledgement, or to its error.
    seconds: dict[PublishOutcome, Histogram] = field(
        default_factory=lambda: {outcome: Histogram(PUBLISH_BOUNDS_S) for outcome in PUBLISH_OUTCOMES}
    )
    # Read from the spool, and neither acknowledged nor let go of.
    in_flight: Callable[[], int] = int
