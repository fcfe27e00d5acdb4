"""The spool's file against a model of it, through crashes, full disks and damage."""

import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lastlogin_producer.records import decoded
from lastlogin_producer.spool import BEGINNING, Row, SpoolFault, steps
from lastlogin_producer.spool.faults import NotStored
from lastlogin_producer.spool.kept import Keep
from lastlogin_producer.spool.layout import ROW_OVERHEAD_BYTES
from lastlogin_producer.spool.opening import open_file
from lastlogin_producer.spool.reader import SpoolReader, is_sound
from lastlogin_producer.spool.row import unnumbered_body
from lastlogin_producer.spool.salvage import mark_broken
from tests.support.spool import BACKEND, unnumbered


HOUR_US = 3_600_000_000
KEEP = Keep(rows=60, bytes=10_000, age_us=2 * HOUR_US)
MAX_ABOVE = 15
# In the header: version of the layout, ..., and whose file it is. A file of another is never touched.
FOR_A_PERSON = range(60, 72)
PARTS = ("", "-wal", "-last")
# Memory-backed where there is one: what is checked is what is in the files, not when the disk has it.
WHERE = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a directory below it
PORTION = st.integers(min_value=1, max_value=7)


class SpoolMachine(RuleBasedStateMachine):
    """Users are numbers; each message has its own."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(dir=WHERE))
        self.copies = 0
        self.path = self.directory / "0" / "spool.sqlite"
        self.path.parent.mkdir()
        self.now_us = 1_795_387_910_000_000
        self.users = 0
        # Acknowledged, and neither durably delivered, nor aside, nor lost to damage: must wait.
        self.wait: set[str] = set()
        # Delivered, and a crash may forget that.
        self.delivered: set[str] = set()
        self.gone: set[str] = set()
        self.aside: set[str] = set()
        # What each number that was ever acknowledged stands for, by epoch and sequence.
        self.given: dict[tuple[int, int], str] = {}

    @initialize()
    def start(self) -> None:
        """Open a new one."""
        self.open()

    def open(self) -> None:
        """As a start does."""
        self.file = open_file(self.path, BACKEND, self.clock, KEEP)
        self.reader = SpoolReader(self.path)

    def clock(self) -> int:
        """It never stands still."""
        self.now_us += 1
        return self.now_us

    def waiting(self) -> list[Row]:
        """What a reader is given, a few at a time, without what is delivered."""
        rows: list[Row] = []
        after, delivered = BEGINNING, self.file._delivered.numbers()
        while True:
            found, damaged = self.reader.read(after, 13, 1_000)
            if not found and not damaged:
                return [row for row in rows if row.sequence not in delivered]
            rows += found
            after = max([row.sequence for row in found] + damaged)

    def write(self, count: int, aside: dict[int, str] | None = None) -> None:
        """A group that is acknowledged."""
        users = [str(self.users + n) for n in range(count)]
        self.users += count
        first = self.file.meta.last_sequence + 1
        self.file.write([unnumbered_body(unnumbered(user)) for user in users], self.clock(), aside)
        assert first + count - 1 == self.file.meta.last_sequence
        for number, user in enumerate(users, first):
            assert (self.file.meta.epoch, number) not in self.given
            self.given[self.file.meta.epoch, number] = user
        self.wait.update(users)
        left = self.file._delivered.numbers()
        unsettled = {self.given[self.numbers_of(row)] for row in self.rows() if row.sequence in left}
        self.gone |= self.delivered - unsettled
        self.delivered &= unsettled
        assert len(left) <= MAX_ABOVE or self.file.unfinished(self.now_us)

    def set_aside_users(self) -> set[str]:
        """Whose messages are aside, and as they were."""
        found = self.file._connection.execute("SELECT sequence, kind, crc, body FROM aside WHERE reason = 'too_large'")
        return {
            str(decoded(Row(sequence, kind, body)).user)
            for sequence, kind, crc, body in found
            if is_sound(sequence, kind, crc, body)
        }

    def rows(self) -> list[Row]:
        """Everything in `messages`."""
        return [Row(*row) for row in self.file._connection.execute("SELECT sequence, kind, body FROM messages")]

    @staticmethod
    def numbers_of(row: Row) -> tuple[int, int]:
        """Epoch and sequence that a row tells itself."""
        message = decoded(row)
        return message.epoch, message.sequence

    @rule(count=st.integers(min_value=0, max_value=40))
    def append(self, count: int) -> None:
        """Store a group; delivered rows settle with it."""
        self.write(count)

    @rule(portion=PORTION, start=PORTION)
    def deliver(self, portion: int, start: int) -> None:
        """Kafka takes every so-manieth row, and tells some of it twice."""
        rows = self.waiting()[start - 1 :: portion]
        self.file.take({row.sequence for row in rows})
        self.file.take({row.sequence for row in rows[::3]})
        users = {str(decoded(row).user) for row in rows}
        self.wait -= users
        self.delivered |= users

    @rule(portion=PORTION)
    def set_aside(self, portion: int) -> None:
        """Some rows cannot be published."""
        rows = self.waiting()[portion - 1 : 20 : portion]
        users = {str(decoded(row).user) for row in rows}
        self.write(1, {row.sequence: "too_large" for row in rows})
        self.wait -= users
        self.aside |= users

    @rule(hours=st.integers(min_value=0, max_value=2))
    def time_passes(self, hours: int) -> None:
        """Kept rows grow old."""
        self.now_us += hours * HOUR_US + 61_000_000

    @rule(back_hours=st.integers(min_value=0, max_value=5))
    def resend(self, back_hours: int) -> None:
        """All that is kept since then waits again, and nothing else is changed."""
        since = self.now_us - back_hours * HOUR_US
        kept = {str(decoded(row).user): decoded(row).sequence for row in self.rows()}.keys() & (
            self.gone | self.delivered
        )
        above, _, _ = self.file.kept_since(since)
        done = False
        while not done:
            _, _, done = self.file.wait_again(above)
        found = {str(decoded(row).user) for row in self.waiting()}
        assert self.wait <= found <= self.wait | kept
        if back_hours == 5:
            # A row that was held while all around it grew old is not kept when Kafka has it.
            evicted = {str(decoded(row).user) for row in self.rows() if row.sequence <= self.file.meta.evicted}
            assert kept <= found | self.aside | evicted
        self.gone -= found
        self.delivered -= found
        self.wait = found

    @rule()
    def restart(self) -> None:
        """A stop keeps what is delivered, if little waits between."""
        self.file.finish(self.clock())
        self.close()
        self.gone |= self.delivered
        self.delivered.clear()
        self.open()

    @rule(count=st.integers(min_value=1, max_value=60), cut=st.floats(min_value=0, max_value=1))
    def crash(self, count: int, cut: float) -> None:
        """A group is cut off anywhere behind what was synced before it: it is there, or it is not."""
        before = {part: self.content(part) for part in PARTS}
        users = {str(self.users + n) for n in range(count)}
        self.users += count
        self.file.write([unnumbered_body(unnumbered(user)) for user in sorted(users)], self.clock())
        after = {part: self.content(part) for part in PARTS}
        if after[""] == before[""] and after["-wal"].startswith(before["-wal"]):
            synced = len(before["-wal"])
            after["-wal"] = after["-wal"][: synced + int(cut * (len(after["-wal"]) - synced))]
            after["-last"] = before["-last"]
        self.close()
        self.move_to(after)
        self.open()
        self.settle_by_what_is_found(users)

    def settle_by_what_is_found(self, unsure: set[str]) -> None:
        """After a crash: what was acknowledged is there, others of that moment may be."""
        rows = self.waiting()
        found = {str(decoded(row).user) for row in rows}
        assert self.wait <= found <= self.wait | self.delivered | unsure
        assert not unsure & found or unsure <= found
        self.gone |= self.delivered - found
        self.delivered.clear()
        self.wait = found
        self.given |= {self.numbers_of(row): str(decoded(row).user) for row in rows}

    @rule(count=st.integers(min_value=1, max_value=3))
    def disk_full(self, count: int) -> None:
        """A group that finds no room leaves everything as it was."""
        execute = self.file._connection.execute
        execute(f"PRAGMA max_page_count = {execute('PRAGMA page_count').fetchone()[0]}")
        free = execute("PRAGMA freelist_count").fetchone()[0]
        big = unnumbered("big", attributes={"padding": "x" * 4_096 * (free + 9)})
        with pytest.raises(NotStored):
            self.file.write([unnumbered_body(big)] * count, self.clock())
        execute("PRAGMA max_page_count = 1000000")

    @rule(
        part=st.sampled_from(["", "", "", "-wal"]),
        at=st.floats(min_value=0, max_value=1, exclude_max=True),
        harm=st.sampled_from(["flip", "zero", "cut", "remove wal"]),
    )
    def damage(self, part: str, at: float, harm: str) -> None:
        """After a crash with damage a start ends, nothing appears that was never stored, no number is used again."""
        parts = {part: self.content(part) for part in PARTS}
        content = bytearray(parts[part])
        if harm == "remove wal":
            parts["-wal"] = b""
        elif content:
            place = int(at * len(content))
            if part == "" and place in FOR_A_PERSON:
                # A start refuses it and says why.
                place = FOR_A_PERSON.stop
            if harm == "flip":
                content[place] ^= 1 << place % 8
            elif harm == "zero":
                content[place // 4_096 * 4_096 : (place // 4_096 + 1) * 4_096] = bytes(4_096)
            else:
                del content[place:]
            parts[part] = bytes(content)
        self.close()
        self.move_to(parts)
        known = self.wait | self.delivered | self.gone | self.aside
        self.start_until_it_can_be_read()
        # What is broken and was not met is left behind, too.
        mark_broken(self.path)
        self.close()
        self.open()
        rows = self.waiting()
        found = {str(decoded(row).user) for row in rows}
        assert found <= known
        for row in rows:
            assert self.given[self.numbers_of(row)] == decoded(row).user
        assert not {epoch for epoch, _ in self.given} & {self.file.meta.epoch}
        lost = self.wait - found
        self.gone = (self.gone | self.delivered | lost) - found
        self.delivered.clear()
        self.wait = found
        self.aside = self.set_aside_users()
        assert self.aside <= known

    def start_until_it_can_be_read(self) -> None:
        """What a service manager does with a producer that ends with 75."""
        for _ in range(3):
            self.open()
            try:
                self.waiting()
                self.file.write([], self.clock())
            except SpoolFault:
                mark_broken(self.path)
                self.close()
            else:
                return
        raise AssertionError("it meets the same damage again")

    @invariant()
    def all_that_waits_is_read_and_nothing_else(self) -> None:
        """In order of storing; what was durably delivered never comes back by itself."""
        rows = self.waiting()
        assert [row.sequence for row in rows] == sorted({row.sequence for row in rows})
        assert self.wait == {str(decoded(row).user) for row in rows}
        assert len(self.wait) == len(rows) == self.file.rows_waiting

    @invariant()
    def counts_are_right(self) -> None:
        """What `meta` counts is what a recount finds, and no more is kept than allowed, but for what waits its turn."""
        meta = self.file.meta
        waits = "sequence > ? OR sequence IN (SELECT sequence FROM held)"
        count = f"SELECT COUNT(*), CAST(TOTAL(LENGTH(body) + {ROW_OVERHEAD_BYTES}) AS INTEGER) FROM messages WHERE "
        execute = self.file._connection.execute
        assert (meta.rows, meta.bytes) == execute(count + waits, (meta.watermark,)).fetchone()
        assert (meta.kept_rows, meta.kept_bytes) == execute(f"{count} NOT ({waits})", (meta.watermark,)).fetchone()
        assert self.aside == self.set_aside_users()

    @precondition(lambda self: not self.file.unfinished(self.now_us))
    @invariant()
    def no_more_is_kept_than_may_be(self) -> None:
        """Once there is nothing left to do in pieces."""
        assert self.file.meta.kept_rows <= KEEP.rows
        assert self.file.meta.kept_bytes <= KEEP.bytes

    def content(self, part: str) -> bytes:
        """A file as it is on disk."""
        path = self.path.with_name(self.path.name + part)
        return path.read_bytes() if path.exists() else b""

    def move_to(self, parts: dict[str, bytes]) -> None:
        """Go on in a directory with these files."""
        shutil.rmtree(self.path.parent)
        self.copies += 1
        self.path = self.directory / str(self.copies) / "spool.sqlite"
        self.path.parent.mkdir()
        for part, content in parts.items():
            self.path.with_name(self.path.name + part).write_bytes(content)

    def close(self) -> None:
        """Close both sides, whatever state they are in."""
        for close in (self.reader.close, self.file.close):
            try:
                close()
            except (sqlite3.Error, OSError):
                continue

    def teardown(self) -> None:
        """Remove all of it."""
        if hasattr(self, "file"):
            self.close()
        shutil.rmtree(self.directory)


@pytest.fixture(autouse=True)
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a few steps reach."""
    monkeypatch.setattr("lastlogin_producer.spool.file.MAX_ABOVE", MAX_ABOVE)
    monkeypatch.setattr("lastlogin_producer.spool.file._WAIT_AGAIN_ROWS", 7)
    monkeypatch.setattr("lastlogin_producer.spool.kept._ROWS", 10)
    monkeypatch.setattr(steps, "_HOLD_ROWS", 10)
    monkeypatch.setattr(steps, "_GAP_ROWS", 3)


def test_machine() -> None:
    """Through any such history every acknowledged message waits, is kept, is set aside, or is in a named hole."""
    from hypothesis.stateful import run_state_machine_as_test  # noqa: PLC0415

    run_state_machine_as_test(
        SpoolMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def test_a_held_row_that_kafka_has_just_taken_is_sent_again() -> None:
    """Also when the file does not know of it yet: with others behind it kept it is held, and so below the watermark."""
    state = SpoolMachine()
    try:
        state.start()
        state.append(count=2)
        state.deliver(portion=1, start=2)
        state.restart()
        state.deliver(portion=1, start=1)
        state.resend(back_hours=5)
        assert {"0", "1"} == state.wait
        state.restart()
        state.all_that_waits_is_read_and_nothing_else()
    finally:
        state.teardown()
