"""What is said of a replay. Pure."""

from collections.abc import Sequence
from datetime import tzinfo

from lastlogin_consumer.metrics import Totals
from lastlogin_consumer.replay.stretches import Edges, Stretch
from lastlogin_service.counting import counted
from lastlogin_service.moments import at_ms


def gone(asked: Stretch, there: Stretch, appended_ms: int | None, zone: tzinfo | None = None) -> str:
    """That Kafka has deleted the beginning of what was asked for; `appended_ms` is when the rest begins."""
    missing = Stretch(asked.partition, asked.first, there.first)
    said = f"partition {asked.partition}: offsets {_range(missing)} were asked for and are gone: Kafka has deleted them"
    if not there.offsets:
        return f"{said}; nothing is left of it"
    since = "" if appended_ms is None else f", appended {at_ms(appended_ms, zone)}"
    return f"{said}; complete from {there.first} on{since}"


def begins_later(
    partition: int, edges: Edges, appended_ms: int | None, since_ms: int, zone: tzinfo | None = None
) -> str:
    """That Kafka may have deleted records from after `since_ms`; `appended_ms` is when the first that it has came."""
    deleted = _range(Stretch(partition, 0, edges.first))
    unknown = f"which of them were appended since {at_ms(since_ms, zone)} is not known"
    if appended_ms is None:
        return f"partition {partition} is empty: offsets {deleted} are gone: Kafka has deleted them; {unknown}"
    return (
        f"partition {partition} begins with offset {edges.first}, appended {at_ms(appended_ms, zone)}: "
        f"offsets {deleted} are gone: Kafka has deleted them; {unknown}"
    )


def summary(totals: Totals, seconds: float) -> list[str]:
    """What became of the records, in lines."""
    records = records_of(totals)
    done = (
        f"replayed {counted(records, 'record')} in {seconds:.1f} s ({records / max(seconds, 0.001):,.0f} records/s): "
        f"{counted(totals.written, 'row')} written, {totals.merged:,} merged into a newer login of the same user and "
        "service"
    )
    left_out = [f"{count:,} {reason}" for reason, count in totals.set_aside.most_common()]
    left_out += [f"{totals.unmapped:,} unmapped: the table has no column for their service"] * (totals.unmapped > 0)
    left_out += [f"{totals.expired:,} expired: older than ttl_s"] * (totals.expired > 0)
    return [done] + [f"left out: {'; '.join(left_out)}"] * bool(left_out)


def records_of(totals: Totals) -> int:
    """How many records were done; those that were read twice count once."""
    used = totals.written + totals.merged + totals.unmapped + totals.expired
    return used + totals.set_aside.total()


def options(left: Sequence[Stretch]) -> list[str]:
    """What goes on with the rest."""
    return [argument for each in left for argument in ("--offsets", str(each))]


def announced(stretches: Sequence[Stretch], topic: str, table: str) -> str:
    """What is about to be done."""
    offsets = sum(each.offsets for each in stretches)
    partitions = ", ".join(map(str, stretches))
    return f"replaying {counted(offsets, 'record')} of {topic} into {table} (partition:first-last): {partitions}"


def _range(stretch: Stretch) -> str:
    return f"{stretch.first} to {stretch.end - 1} ({stretch.offsets:,})"
