"""The thread that writes the spool.

Everything that arrived while it waited for the disk goes into its next transaction, so that as many logins as came
meanwhile share the cost of an fsync, and nobody waits for a timer.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple, TypeAlias

import structlog

from lastlogin_producer.outcome import Outcome
from lastlogin_producer.settings import SpoolSettings
from lastlogin_producer.spool.directory import move_aside
from lastlogin_producer.spool.faults import Damaged, NotStored, SpoolFault, Unsure
from lastlogin_producer.spool.file import ROW_OVERHEAD_BYTES, SpoolFile
from lastlogin_producer.spool.row import Kind, unnumbered_body
from lastlogin_schemas.event import LoginEvent, RawWrite
from lastlogin_service.exits import TEMPFAIL, Exit


# One transaction: at 10 us a message, 40 ms between the first message's arrival and its fsync.
_MAX_GROUP = 4_096
# Deleting delivered rows rides on the next group of logins, for an fsync of its own would delay that group.
# It goes alone after this time, or with this many rows. A crash in between only sends them to Kafka again.
_DELETE_WITHIN_S = 1.0
_DELETE_ROWS = 1_000
# Without a refusal for so long, refusing has ended.
_REFUSING_S = 10.0

_log = structlog.get_logger(__name__)

Done: TypeAlias = Callable[[Outcome], None]
Entry: TypeAlias = tuple[LoginEvent | RawWrite, Done]


@dataclass(frozen=True, slots=True)
class Gone:
    """Rows to take away from the waiting ones: Kafka has them, or they are damaged."""

    delivered: Collection[int] = ()
    damaged: Collection[int] = ()


class Stop:
    """Write what is queued before this, then end."""


class Malformed:
    """The reader met a part of the file that SQLite cannot make sense of."""


class Report(NamedTuple):
    """What became of a group, and what is stored after it."""

    entries: list[Entry]
    outcomes: list[Outcome]
    gone: set[int]
    rows: int
    bytes: int
    last_sequence: int


class GroupWriter:
    """Takes items from `queue` and writes them to `file` until `Stop`; `run` is the thread's function.

    `report` and `fail` are called in this thread: `report` once for each group, in order; `fail` when nothing can
    be stored any more, after which every message is reported as FULL.
    """

    def __init__(
        self,
        file: SpoolFile,
        settings: SpoolSettings,
        now_us: Callable[[], int],
        report: Callable[[Report], None],
        fail: Callable[[Exit], None],
    ) -> None:
        # Without a bound of its own: `Spool` counts what is in it.
        self.queue: SimpleQueue[Entry | Gone | Malformed | Stop] = SimpleQueue()
        self._file = file
        self._settings = settings
        self._now_us = now_us
        self._send_report = report
        self._fail = fail
        self._delivered: set[int] = set()
        self._damaged: set[int] = set()
        self._delete_at = 0.0
        self._broken = False
        self._refusing = False
        self._refused_at = 0.0

    def run(self) -> None:
        """Write until told to stop, then close the file."""
        stopping = False
        while not stopping:
            entries, stopping = self._collect()
            outcomes, gone, fault = self._write(entries)
            self._report(entries, outcomes, gone)
            if fault is not None:
                self._recover(fault)
        self._file.close()

    def _collect(self) -> tuple[list[Entry], bool]:
        """Wait for something to write; return all messages that are there, and whether to stop after them."""
        entries: list[Entry] = []
        while len(entries) < _MAX_GROUP:
            try:
                item = self.queue.get_nowait() if entries else self.queue.get(timeout=self._patience())
            except Empty:
                break
            if isinstance(item, Gone):
                if not (self._delivered or self._damaged):
                    self._delete_at = monotonic() + _DELETE_WITHIN_S
                self._delivered.update(item.delivered)
                self._damaged.update(item.damaged)
                if len(self._delivered) >= _DELETE_ROWS:
                    self._delete_at = 0.0
            elif isinstance(item, Malformed):
                self._break_off(Damaged("a part of it cannot be read"))
            elif isinstance(item, Stop):
                return entries, True
            else:
                entries.append(item)
        return entries, False

    def _patience(self) -> float | None:
        """How long to wait for the next item: until deletions must go alone, or for ever."""
        return max(0.0, self._delete_at - monotonic()) if self._delivered or self._damaged else None

    def _write(self, entries: list[Entry]) -> tuple[list[Outcome], set[int], SpoolFault | None]:
        outcomes: list[Outcome] = [Outcome.FULL] * len(entries)
        if self._broken:
            self._delivered.clear()
            self._damaged.clear()
            return outcomes, set(), None
        gone = self._delivered | self._damaged
        try:
            bodies = self._admit(entries, outcomes)
            if bodies or gone:
                self._file.write(bodies, self._delivered, self._damaged)
        except NotStored as not_stored:
            return [Outcome.FULL] * len(entries), set(), not_stored
        except Exception as error:  # noqa: BLE001 - a defect must not leave logins unanswered either
            fault = error if isinstance(error, SpoolFault) else Unsure(f"{type(error).__name__}: {error}")
            for index, outcome in enumerate(outcomes):
                if outcome is Outcome.STORED:
                    outcomes[index] = Outcome.UNCONFIRMED
            return outcomes, set(), fault
        self._delivered.clear()
        self._damaged.clear()
        if bodies:
            self._tell_storing()
        return outcomes, gone, None

    def _admit(self, entries: list[Entry], outcomes: list[Outcome]) -> list[tuple[Kind, bytes]]:
        """Encode what the quota and the disk have room for, and mark it STORED."""
        bodies: list[tuple[Kind, bytes]] = []
        rows = self._settings.max_rows - self._file.rows
        size = self._settings.max_bytes - self._file.bytes
        reason = None if self._file.disk_has_room() else "the disk is full"
        for index, (message, _) in enumerate(entries):
            if size <= 0 or len(bodies) >= rows:
                reason = "spool.max_rows or spool.max_bytes is reached; Kafka must take some first"
            if reason is not None:
                break
            try:
                encoded = unnumbered_body(message)
            except Exception as error:  # noqa: BLE001 - whatever the encoder meets; the others must not suffer
                _log.error(
                    f"A message does not fit its schema and is refused: {type(error).__name__}",
                    action="message_refused",
                )
                continue
            bodies.append(encoded)
            outcomes[index] = Outcome.STORED
            size -= len(encoded[1]) + ROW_OVERHEAD_BYTES
        if entries and reason is not None:
            self._tell_refusing(reason)
        return bodies

    def _recover(self, fault: SpoolFault) -> None:
        if isinstance(fault, NotStored):
            self._tell_refusing(str(fault))
            # Else deletions would be tried again at once, and for ever.
            self._delete_at = monotonic() + _DELETE_WITHIN_S
            return
        _log.error(f"The spool cannot be written: {fault}", action="spool_error")
        if isinstance(fault, Unsure):
            try:
                self._file.reopen()
            except SpoolFault as again:
                fault = again
            else:
                _log.info("The spool was opened again and goes on", action="spool_reopened", rows=self._file.rows)
                self._report([], [], set())
                return
        self._break_off(fault)

    def _break_off(self, fault: SpoolFault) -> None:
        """Give up. A damaged file is moved aside now, for the next start may not notice the damage."""
        if self._broken:
            return
        self._broken = True
        path = self._file.path
        message = f"{path}: the spool cannot be used: {fault}"
        if isinstance(fault, Damaged):
            self._file.close()
            try:
                message = moved_aside(path, self._now_us(), fault)
            except OSError as error:
                message += f"; it cannot be moved aside either: {error}"
        self._fail(Exit(TEMPFAIL, message))

    def _tell_refusing(self, reason: str) -> None:
        self._refused_at = monotonic()
        if not self._refusing:
            self._refusing = True
            _log.error(f"Refusing logins: {reason}", action="spool_full", rows=self._file.rows, bytes=self._file.bytes)

    def _tell_storing(self) -> None:
        """Log the end of refusing; only after a while, for at the bound the two alternate with each group."""
        if self._refusing and monotonic() - self._refused_at > _REFUSING_S:
            self._refusing = False
            _log.info("Storing logins again", action="spool_accepts", rows=self._file.rows, bytes=self._file.bytes)

    def _report(self, entries: list[Entry], outcomes: list[Outcome], gone: set[int]) -> None:
        file = self._file
        self._send_report(Report(entries, outcomes, gone, file.rows, file.bytes, file.last_sequence))


def moved_aside(path: Path, now_us: int, fault: Damaged) -> str:
    """Move a damaged file aside and return the sentence about it. Raises OSError."""
    aside = move_aside(path, "damaged", now_us)
    return (
        f"{path}: the spool is damaged ({fault}); it was moved to {aside} with every message in it, "
        f"and a new one takes its place"
    )
