"""How long Kafka and Cassandra keep things, which must fit together. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from lastlogin_schemas.ddl import name_of
from lastlogin_schemas.table import TableMapping
from lastlogin_service.doctor.report import Line, ok, warning


_DAY_S = 86_400
_UNITS = ((_DAY_S, "d"), (3600, "h"), (60, "min"))


def retention_s(configs: Mapping[str, str]) -> float | None:
    """Seconds that a topic keeps its records; None: for ever. Raises KeyError where its settings are not known."""
    milliseconds = int(configs["retention.ms"])
    return None if milliseconds < 0 else milliseconds / 1000


def shown(seconds: float | None) -> str:
    """A duration for people."""
    if seconds is None:
        return "for ever"
    for unit_s, unit in _UNITS:
        if seconds >= unit_s:
            return f"{seconds / unit_s:.3g} {unit}"
    return f"{seconds:g} s"


def erased(
    topics: Mapping[str, float | None], unknown: Sequence[str], table: TableMapping, gc_grace_s: int
) -> Iterator[Line]:
    """Whether reading a topic again may bring back who was erased.

    `topics` are kept for so many seconds; of others it is `unknown`.
    """
    check = "keeping.erased"
    longer = {name: kept_s for name, kept_s in topics.items() if kept_s is None or kept_s >= gc_grace_s}
    for name, kept_s in longer.items():
        found = (
            f"{name} is kept {shown(kept_s)}, gc_grace_seconds of {name_of(table)} is {shown(gc_grace_s)}: "
            "who was erased from the table may come back when the topic is read again"
        )
        yield warning(check, found, "lower topics.retention_days (`lastlogin topics apply`), or raise gc_grace_seconds")
    if topics and not longer:
        kept = ", ".join(f"{name} {shown(kept_s)}" for name, kept_s in topics.items())
        kept += f"; not known of {', '.join(unknown)}" * bool(unknown)
        yield ok(check, f"{kept}; gc_grace_seconds {shown(gc_grace_s)}")


def expiring(events_s: float | None, table: TableMapping) -> Iterator[Line]:
    """Whether `ttl_s` is long enough that what waits in Kafka is still written."""
    if table.ttl_s is None:
        return
    check = "keeping.ttl"
    found = f"ttl_s is {shown(table.ttl_s)}, events are kept {shown(events_s)}"
    if events_s is None or table.ttl_s < events_s:
        do = "raise ttl_s unless that is meant: it is in seconds"
        yield warning(check, f"{found}: logins that wait longer than ttl_s are passed without being written", do)
    else:
        yield ok(check, found)


def offsets(minutes: int, events_s: float | None) -> Line:
    """Whether Kafka remembers where a consumer stood that is off for as long as its events are kept."""
    check = "keeping.offsets"
    kept_s = minutes * 60
    found = (
        f"the brokers keep offsets of a group without members {shown(kept_s)}, the topic of events {shown(events_s)}"
    )
    if events_s is None or kept_s < events_s:
        do = "raise offsets.retention.minutes of the brokers: a consumer that is off for longer reads all of it again"
        return warning(check, found, do)
    return ok(check, found)


def letters(configs: Mapping[str, str], letters_configs: Mapping[str, str]) -> Iterator[Line]:
    """Whether a dead letter has room for the largest record, with its story."""
    check = "kafka.size"
    largest, room = int(configs["max.message.bytes"]), int(letters_configs["max.message.bytes"])
    found = f"records of {largest} bytes, dead letters of {room} bytes"
    if room <= largest:
        do = "raise max.message.bytes of the topic of dead letters: `lastlogin topics apply`"
        yield warning(check, f"{found}: a large record that cannot be used would hold its partition", do)
    else:
        yield ok(check, found)
