"""How far back the topics reach: what is older may have been deleted, and proves nothing. Pure."""

from collections.abc import Sequence
from typing import NamedTuple


class Kept(NamedTuple):
    """What a partition still has: its first offset, and the append time there; None when it is empty."""

    first_offset: int
    first_ms: int | None


def deleted_before(events: Sequence[Kept], quarantine: Sequence[Kept], expired_ms: int) -> int | None:
    """Append time before which records may be gone from one of the partitions; None: none has lost any.

    `expired_ms` is what has reached the retention by age. Of a partition that is empty nothing else is known; in the
    quarantine the first record that is left may be much younger than the last that was deleted.
    """
    cuts = [expired_ms if each.first_ms is None else each.first_ms for each in events if each.first_offset]
    cuts += [
        expired_ms if each.first_ms is None else min(each.first_ms, expired_ms)
        for each in quarantine
        if each.first_offset
    ]
    return max(cuts, default=None)


def retained_from(events: Sequence[Kept], expired_ms: int, ahead_ms: int) -> int | None:
    """Time of login from which on every event is still there; None when there are no events.

    A login may be `ahead_ms` later than its record's append time.
    """
    first = min((each.first_ms for each in events if each.first_ms is not None), default=None)
    if first is None:
        return None
    return max(first, deleted_before(events, (), expired_ms) or first) + ahead_ms
