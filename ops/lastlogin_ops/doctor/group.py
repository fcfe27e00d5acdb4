"""The consumer's group: who is in it, where it stands, and what it may do. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lastlogin_service.counting import counted
from lastlogin_service.doctor.replicas import listed
from lastlogin_service.doctor.report import Line, error, ok, warning
from lastlogin_service.doctor.rights import Operation, allows


# As long as a backend may wait for Kafka before its doctor warns.
_OLD_S = 300.0
# Of the retention: what waits for so long is about to be deleted.
_LATE_SHARE = 0.5
_UNREADABLE = "kafka.records"
_RESEND = "`lastlogin-producer resend` on the backends sends again what they still have"


@dataclass(frozen=True, slots=True)
class Group:
    """A group as its coordinator describes it; `operations` are our rights on it, as Kafka writes them."""

    name: str
    members: int
    operations: int


@dataclass(frozen=True, slots=True)
class Position:
    """A partition's first offset and end, and what the group has committed; None: nothing."""

    partition: int
    first: int
    end: int
    committed: int | None

    @property
    def next(self) -> int:
        """The offset that a consumer of the group reads first."""
        return max(self.first, self.committed or 0)


def right(group: Group) -> Line:
    """Whether a consumer of this name may be in the group."""
    check = "group.read"
    match allows(group.operations, Operation.READ):
        case True:
            return ok(check, f"{group.name}: our user may read")
        case False:
            return error(check, f"{group.name}: our user may not read", "grant Read on that group")
        case _:
            return warning(check, f"{group.name}: the brokers do not tell our rights", "look at the consumer's log")


def members(group: Group, positions: Sequence[Position]) -> Line:
    """Whether somebody reads."""
    check = "group.members"
    if group.members:
        return ok(check, f"{group.name}: {counted(group.members, 'member')}")
    if all(each.committed is None for each in positions):
        found = f"{group.name}: nobody is in it, and it has never committed an offset"
        return error(check, found, "start lastlogin-consumer; if it runs, its setting `group` is another one")
    return error(check, f"{group.name}: nobody is in it: logins wait in Kafka", "start lastlogin-consumer")


def offsets(group: str, positions: Sequence[Position]) -> Iterator[Line]:
    """Whether the group stands where there are records."""
    check = "group.offsets"
    # What was never committed begins at the first record that there is: only a committed offset proves a loss.
    committed = [(each, each.committed) for each in positions if each.committed is not None]
    lost = {each.partition: each.first - offset for each, offset in committed if offset < each.first}
    beyond = [each.partition for each, offset in committed if offset > each.end]
    unread = [each.partition for each in positions if each.committed is None and each.first < each.end]
    if lost:
        found = (
            f"{group}: {counted(sum(lost.values()), 'record was', 'records were')} deleted before they were read, "
            f"in the partitions {listed(list(lost))}"
        )
        yield error(check, found, f"raise topics.retention_days; {_RESEND}")
    if beyond:
        found = f"{group}: its offsets are beyond the end of the partitions {listed(beyond)}"
        yield error(check, found, f"the topic was made anew, or its brokers lost records: {_RESEND}")
    if unread:
        found = f"{group}: nothing is committed of the partitions {listed(unread)}, which have records"
        yield warning(check, found, "once a consumer has written some of them it is; look again")
    if not (lost or beyond or unread):
        yield ok(check, f"{group}: {counted(len(positions), 'partition stands', 'partitions stand')} where records are")


def lag(group: str, positions: Sequence[Position], oldest_s: float | None, retention_s: float | None) -> Line:
    """How much waits, and how long already; None: not known, and kept for ever."""
    check = "group.lag"
    waiting = sum(max(0, each.end - each.next) for each in positions)
    if not waiting:
        return ok(check, f"{group}: nothing waits")
    shown = f"{group}: {counted(waiting, 'record waits', 'records wait')}"
    if oldest_s is None:
        return warning(check, f"{shown}; since when is not known", "see `lastlogin-consumer`'s metrics")
    shown += f", the oldest for {oldest_s:.0f} s"
    if retention_s is not None and oldest_s > retention_s * _LATE_SHARE:
        do = "raise retention.ms of the topic of events now, then see the lines on the group and on Cassandra"
        return error(check, f"{shown}: half of the topic's retention, after which they are deleted", do)
    if oldest_s > _OLD_S:
        return warning(check, shown, "see the lines on the group and on Cassandra, and the consumer's log")
    return ok(check, shown)


def unreadable(topic: str, found: Mapping[int, int], positions: Sequence[Position]) -> Iterator[Line]:
    """Judge partitions by the offset of a record that cannot be read; without `positions` it may hold the group up."""
    nexts = {each.partition: each.next for each in positions}
    for partition, offset in sorted(found.items()):
        said = f"{topic}: the record at offset {offset} of partition {partition} cannot be read"
        if offset < nexts.get(partition, 0):
            do = "`lastlogin audit` tells which logins are not in the table"
            yield warning(_UNREADABLE, f"{said}; the group is behind it", do)
        else:
            skip = f"lastlogin-consumer skip --topic {topic} --partition {partition} --to {offset + 1}"
            do = f'see "A partition cannot be read" in the runbook; what would be given up tells `{skip}`'
            yield error(_UNREADABLE, f"{said}: what is there and behind it is not written", do)
