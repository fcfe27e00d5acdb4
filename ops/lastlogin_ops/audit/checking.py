"""One audit, from the offsets to the report."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lastlogin_ops.audit import topics
from lastlogin_ops.audit.events import COLUMNS, letter_in, login_in
from lastlogin_ops.audit.facts import Facts
from lastlogin_ops.audit.report import Report
from lastlogin_ops.audit.retention import deleted_before, retained_from
from lastlogin_ops.audit.rows import PARTS, Table
from lastlogin_ops.audit.sequences import Sequences
from lastlogin_ops.audit.verdicts import DUE, PENDING, judge
from lastlogin_ops.settings import OpsSettings
from lastlogin_schemas.errors import Undecodable
from lastlogin_schemas.headers import ORIGIN
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.kafka import KafkaSettings
from lastlogin_service.scan import Scan, reading
from lastlogin_service.topics import partitions_of


# Newest logins in memory before they go to disk: 20 MiB with names as they are, and at most so many bytes of names.
_KEYS = 50_000
_NAME_BYTES = 16 * 1024 * 1024
# How exactly is known what a deletion by age took; a stream has some 200 such times.
_MIN_BUCKET_MS = 60_000
_BUCKETS = 200
_DAY_MS = 86_400_000
# By so much clocks may differ on which it depends when Cassandra forgets a row: this one, the consumer's, the nodes'.
_CLOCKS_MS = 300_000
_ADVANCED = 10_000

# Begins a phase of so much, and returns who is told how far it is.
Phase = Callable[[str, int], Callable[[int], object]]


@dataclass(slots=True)
class Audit:
    """An audit that runs once; `settled_ms` is for `Sequences`."""

    settings: OpsSettings
    kafka: KafkaSettings
    table: Table
    report: Report
    phase: Phase
    now_ms: int
    settled_ms: int

    async def run(self, facts: Facts) -> None:
        """Fill the report. Raises `Exit`.

        The order matters. What is committed is written, or set aside, when the others are looked at. What came while
        the table was read is read after it: some of it may be in the table.
        """
        names, kafka, unreadable = self.settings.topics, self.kafka, self.report.add_unreadable
        partitions = await partitions_of(kafka, names.events, "topics.events")
        aside = await partitions_of(kafka, names.quarantine, "topics.quarantine")
        letters = await partitions_of(kafka, names.dead_letters, "topics.dead_letters")
        committed = await topics.committed(kafka, self.report.group, names.events)
        async with reading(kafka, "lastlogin-audit") as consumer:
            events = await topics.extent(consumer, partitions)
            if events.records and not committed:
                group = self.report.group
                raise Exit(
                    CONFIG, f"the group {group} has committed nothing of {names.events}: see --group and lag.group"
                )
            quarantine = await topics.extent(consumer, aside)
            dead = await topics.extent(consumer, letters)
            first_ms = min((each.first_ms for each in events.kept.values() if each.first_ms), default=self.now_ms)
            sequences = Sequences(self.settled_ms, max(_MIN_BUCKET_MS, (self.now_ms - first_ms) // _BUCKETS))

            await self._letters(topics.whole(consumer, kafka, dead, unreadable), facts)
            scan = topics.whole(consumer, kafka, quarantine, unreadable)
            self.report.quarantined = await self._quarantine(scan, sequences, facts)
            await self._events(topics.whole(consumer, kafka, events, unreadable), sequences, facts, committed)
            await self._rows(facts)
            read_ms = time.time_ns() // 1_000_000
            await self._quarantine(await topics.since(consumer, kafka, quarantine, unreadable), sequences, facts)
            await self._events(await topics.since(consumer, kafka, events, unreadable), sequences, facts, None)
            # Not as it was: some may have been deleted before it was read.
            kept = list((await topics.extent(consumer, partitions)).kept.values())
            kept_aside = list((await topics.extent(consumer, aside)).kept.values())

        expired_ms = self.now_ms - self.settings.topics.retention_days * _DAY_MS
        facts.add_pieces(sequences.take_pieces())
        self.report.streams = sequences.streams
        self.report.unnumbered, self.report.unjudged = sequences.unnumbered, sequences.unjudged
        self.report.cut_ms = deleted_before(kept, kept_aside, expired_ms)
        self.report.add_holes(sequences.holes(facts.pieces(), self.report.cut_ms))
        ttl_s = self.table.mapping.ttl_s
        forgotten_us = None if ttl_s is None else (read_ms - ttl_s * 1000 + _CLOCKS_MS) * 1000
        ahead_ms = int(self.settings.future_limit_s * 1000)
        self._judge(facts, retained_from(kept, expired_ms, ahead_ms), forgotten_us)

    async def _letters(self, scan: Scan, facts: Facts) -> None:
        advance = self.phase("dead letters", scan.records)
        topic = self.settings.topics.events
        async for piece in scan.pieces():
            letters = (letter_in(record.headers, topic) for record in piece)
            facts.add_letters(letter for letter in letters if letter is not None)
            self.report.letters += len(piece)
            advance(len(piece))

    async def _quarantine(self, scan: Scan, sequences: Sequences, facts: Facts) -> int:
        advance = self.phase("quarantine", scan.records)
        records = 0
        async for piece in scan.pieces():
            for record in piece:
                sequences.add(dict(record.headers).get(ORIGIN), record.timestamp)
            if sequences.full:
                facts.add_pieces(sequences.take_pieces())
            records += len(piece)
            advance(len(piece))
        return records

    async def _events(
        self, scan: Scan, sequences: Sequences, facts: Facts, committed: Mapping[int, int] | None
    ) -> None:
        """Read events; `committed` is None for those that came while the table was read."""
        advance = self.phase("events" if committed is not None else "newer events", scan.records)
        newest = _Newest(facts)
        mapping = self.table.mapping
        numbers = {service.encode(): number for number, service in enumerate(mapping.services)}
        column = COLUMNS[mapping.address_type]
        schemas = self.settings.tail.schemas
        async for piece in scan.pieces():
            partition = piece[0].partition
            due_before = committed.get(partition, 0) if committed is not None else 0
            letters = facts.letters(partition, piece[0].offset, piece[-1].offset)
            unmapped = 0
            for record in piece:
                offset, headers = record.offset, record.headers
                sequences.add(dict(headers).get(ORIGIN), record.timestamp)
                # A dead letter may have become a row since: a guardrail was raised, and the topic read again.
                state = letters.get(offset, DUE if offset < due_before else PENDING)
                try:
                    user, service, login_at_us, address = login_in(record.value, headers, schemas, column)
                except Undecodable:
                    if state == DUE:
                        self.report.add_not_set_aside(partition, offset)
                    continue
                if (number := numbers.get(service)) is None:
                    unmapped += 1
                    continue
                newest.add((user, number, state), (login_at_us, address, partition, offset))
            if sequences.full:
                facts.add_pieces(sequences.take_pieces())
            newest.keep(_KEYS)
            if committed is not None:
                self.report.add_records(piece[0].timestamp, piece[-1].timestamp, len(piece))
                if piece[-1].offset >= due_before:
                    self.report.pending += sum(record.offset >= due_before for record in piece)
                self.report.unmapped += unmapped
            advance(len(piece))
        newest.keep(0)

    async def _rows(self, facts: Facts) -> None:
        advance = self.phase("table", PARTS)
        pages = self.table.pages()
        # The driver waits in a thread: the client of Kafka goes on living.
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            rows, parts = page
            facts.add_rows(rows)
            advance(parts)

    def _judge(self, facts: Facts, begins_ms: int | None, forgotten_us: int | None) -> None:
        advance = self.phase("comparing", facts.most_cases())
        for count, case in enumerate(facts.cases(), 1):
            self.report.add_case(case, judge(case, begins_ms, forgotten_us))
            if count % _ADVANCED == 0:
                advance(_ADVANCED)


class _Newest:
    """Newest logins of those read last: most users come again soon, and need no place on disk each time."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._newest: dict[tuple[bytes, int, int], tuple[int, bytes, int, int]] = {}
        self._bytes = 0

    def add(self, key: tuple[bytes, int, int], known: tuple[int, bytes, int, int]) -> None:
        rival = self._newest.get(key)
        if rival is None:
            self._bytes += len(key[0])
        elif rival >= known:
            return
        self._newest[key] = known

    def keep(self, keys: int) -> None:
        """Put them on disk when there are more than so many."""
        if len(self._newest) > keys or self._bytes > _NAME_BYTES:
            self._facts.add_events((*key, *known) for key, known in self._newest.items())
            self._newest = {}
            self._bytes = 0
