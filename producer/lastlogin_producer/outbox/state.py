"""How the outbox is at one moment, as it tells the serving process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lastlogin_producer.publish_stats import PublishStats
from lastlogin_producer.spool import SyncStats


@dataclass(frozen=True, slots=True)
class SpoolLevels:
    """The spool at one moment."""

    rows: int = 0
    bytes: int = 0
    oldest_age_s: float = 0.0
    kept_rows: int = 0
    kept_bytes: int = 0
    set_aside: Mapping[str, int] = field(default_factory=dict)
    resent_rows: int = 0
    syncs: SyncStats = field(default_factory=SyncStats)


@dataclass(frozen=True, slots=True)
class State:
    """The outbox at one moment; `dead` and `refusing` are sentences as `Health` gives them."""

    spool: SpoolLevels = field(default_factory=SpoolLevels)
    publishing: PublishStats = field(default_factory=PublishStats)
    dead: Sequence[str] = ()
    refusing: Sequence[str] = ()
