"""What an audit has found, for people and programs. Pure.

User names and addresses are only in `cases`, which are kept when somebody asks for them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from lastlogin_ops.audit.sequences import Hole
from lastlogin_ops.audit.verdicts import UNVERIFIABLE, WRONG, Case, Verdict
from lastlogin_ops.tailing import visible
from lastlogin_schemas.table import AddressType
from lastlogin_service.counting import counted
from lastlogin_service.moments import at_ms, iso_ms


# Of each kind.
MAX_SHOWN = 100


@dataclass(slots=True)
class Report:
    """Counts, and the first of what is wrong. `keeps_cases` is whether rows are told one by one."""

    topic: str
    group: str
    services: Sequence[str]
    address_type: AddressType = "inet"
    keeps_cases: bool = False
    records: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    pending: int = 0
    unmapped: int = 0
    quarantined: int = 0
    letters: int = 0
    streams: int = 0
    cut_ms: int | None = None
    unnumbered: int = 0
    unjudged: int = 0
    numbers_missing: int = 0
    holes: list[Hole] = field(default_factory=list)
    not_set_aside: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)
    unreadable: int = 0
    unreadable_places: list[str] = field(default_factory=list)
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    cases: dict[Verdict, list[Case]] = field(default_factory=lambda: defaultdict(list))

    @property
    def wrong(self) -> int:
        """How much is wrong: records that cannot be read or are nowhere, numbers that are missing, rows."""
        rows = sum(self.verdicts[each] for each in WRONG)
        return self.unreadable + self.numbers_missing + self.not_set_aside + rows

    def add_records(self, first_ms: int, last_ms: int, count: int) -> None:
        """Count records of one partition that follow each other, by the append times of the first and the last."""
        self.records += count
        self.first_ms = first_ms if self.first_ms is None else min(self.first_ms, first_ms)
        self.last_ms = last_ms if self.last_ms is None else max(self.last_ms, last_ms)

    def add_holes(self, holes: Iterable[Hole]) -> None:
        """Count missing numbers."""
        for hole in holes:
            self.numbers_missing += hole.numbers
            if len(self.holes) < MAX_SHOWN:
                self.holes.append(hole)

    def add_not_set_aside(self, partition: int, offset: int) -> None:
        """Count a record that is no login, was passed, and is not among the dead letters."""
        self.not_set_aside += 1
        if len(self.places) < MAX_SHOWN:
            self.places.append((partition, offset))

    def add_unreadable(self, topic: str, partition: int, offset: int) -> None:
        """Count a record that Kafka has and cannot give, of any topic."""
        self.unreadable += 1
        if len(self.unreadable_places) < MAX_SHOWN:
            self.unreadable_places.append(f"{topic} {partition}:{offset}")

    def add_case(self, case: Case, verdict: Verdict) -> None:
        """Count a row, or its lack."""
        self.verdicts[verdict] += 1
        if self.keeps_cases and verdict in WRONG and len(self.cases[verdict]) < MAX_SHOWN:
            self.cases[verdict].append(case)

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        told: dict[str, Any] = {
            "wrong": self.wrong,
            "events": {
                "topic": self.topic,
                "records": self.records,
                "first_appended_at": None if self.first_ms is None else iso_ms(self.first_ms),
                "last_appended_at": None if self.last_ms is None else iso_ms(self.last_ms),
                "group": self.group,
                "pending": self.pending,
                "unmapped": self.unmapped,
                "not_set_aside": self.not_set_aside,
                "places": [f"{partition}:{offset}" for partition, offset in self.places],
            },
            "unreadable": {"records": self.unreadable, "places": self.unreadable_places},
            "quarantined": self.quarantined,
            "dead_letters": self.letters,
            "sequences": {
                "streams": self.streams,
                "missing": self.numbers_missing,
                "holes": [hole._asdict() for hole in self.holes],
                "judged_from": None if self.cut_ms is None else iso_ms(self.cut_ms),
                "unnumbered": self.unnumbered,
                "unjudged": self.unjudged,
            },
            "rows": {
                "right": self.verdicts[Verdict.RIGHT],
                "pending": self.verdicts[Verdict.PENDING],
                "expired": self.verdicts[Verdict.EXPIRED],
                "wrong": {each.value: self.verdicts[each] for each in WRONG},
                "unverifiable": {each.value: self.verdicts[each] for each in UNVERIFIABLE},
            },
        }
        if self.keeps_cases:
            told["details"] = [self._case(case, verdict) for verdict, cases in self.cases.items() for case in cases]
        return told

    def _case(self, case: Case, verdict: Verdict) -> dict[str, Any]:
        told: dict[str, Any] = {
            "verdict": verdict.value,
            "user": case.user.decode("utf-8", "backslashreplace"),
            "service": self.services[case.service],
            "event": None,
            "row": None,
        }
        if case.due is not None:
            told["event"] = {
                "partition": case.due.partition,
                "offset": case.due.offset,
                "login_at_us": case.due.login_at_us,
                "address": self._address(case.due.address),
            }
        if case.row is not None:
            told["row"] = {
                "time_ms": case.row.time_ms,
                "written_us": case.row.written_us,
                "address": self._address(case.row.address),
                "address_written_us": case.row.address_written_us,
            }
        return told

    def _address(self, column: bytes | None) -> str | None:
        if not column:
            return None
        return column.decode("utf-8", "backslashreplace") if self.address_type == "text" else str(ip_address(column))

    def text(self) -> str:
        """Return lines for people."""
        span = ""
        if self.first_ms is not None and self.last_ms is not None:
            span = f", {at_ms(self.first_ms, None)} to {at_ms(self.last_ms, None)}"
        lines = [
            f"events     {counted(self.records, 'record')} of {visible(self.topic)}{span}",
            f"           {counted(self.pending, 'is', 'are')} not due: not committed by {visible(self.group)}",
        ]
        if self.unmapped:
            lines.append(f"           {counted(self.unmapped, 'is', 'are')} of services without a column")
        if self.unreadable:
            lines.append(f"  WRONG    {self.unreadable:,} cannot be read: {visible(', '.join(self.unreadable_places))}")
        if self.not_set_aside:
            places = ", ".join(f"{partition}:{offset}" for partition, offset in self.places)
            what = counted(self.not_set_aside, "is no login, and no dead letter", "are no logins, and no dead letters")
            lines.append(f"  WRONG    {what}: {places}")
        missing = counted(self.numbers_missing, "number is", "numbers are")
        lines += [
            f"aside      {self.quarantined:,} in quarantine, {counted(self.letters, 'dead letter')}",
            f"sequences  {self.streams:,}, one for each producer and epoch; {missing} missing",
        ]
        if self.cut_ms is not None:
            lines.append(f"           judged from {at_ms(self.cut_ms, None)} on; some records before are deleted")
        if self.unnumbered or self.unjudged:
            unnumbered = counted(self.unnumbered, "record has", "records have")
            lines.append(
                f"           {unnumbered} no number, {counted(self.unjudged, 'was', 'were')} too many to judge"
            )
        for hole in self.holes:
            to = f" to {hole.last}" * (hole.last > hole.first)
            lines.append(f"  WRONG    {visible(hole.producer)}, epoch {hole.epoch}: {hole.first}{to}")
        right, pending = self.verdicts[Verdict.RIGHT], self.verdicts[Verdict.PENDING]
        lines.append(f"rows       {right:,} right, {pending:,} not due")
        if expired := self.verdicts[Verdict.EXPIRED]:
            lines.append(f"           {expired:,} expired: their newest login is older than Cassandra keeps it")
        lines += [f"  WRONG    {self.verdicts[each]:,} {what}" for each, what in WRONG.items() if self.verdicts[each]]
        lines += [
            f"           {self.verdicts[each]:,} {what}: cannot be verified"
            for each, what in UNVERIFIABLE.items()
            if self.verdicts[each]
        ]
        lines += [_case_text(self._case(case, verdict)) for verdict, cases in self.cases.items() for case in cases]
        lines.append(self._conclusion())
        return "\n".join(lines)

    def _conclusion(self) -> str:
        if self.wrong:
            return "Something is wrong."
        if self.records and not self.verdicts[Verdict.RIGHT]:
            return "Nothing is wrong, and nothing is shown to be right: no row was due."
        return "Nothing is wrong."


def _case_text(case: dict[str, Any]) -> str:
    event, row = case["event"], case["row"]
    text = f"  {case['verdict']}: {visible(case['user'])}, {visible(case['service'])}"
    if event:
        text += f"; event {event['partition']}:{event['offset']}, login {event['login_at_us']} us, {_shown(event)}"
    if row:
        text += f"; row {row['time_ms']} ms, {_shown(row)}, written {row['written_us']} us"
    return text


def _shown(told: dict[str, Any]) -> str:
    # One that is text may be anything.
    return visible(told["address"]) if told["address"] else "no address"
