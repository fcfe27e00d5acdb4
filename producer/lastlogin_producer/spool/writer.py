"""The thread that writes the spool.

Everything that arrived while it waited for the disk goes into its next transaction, so that as many logins as came
meanwhile share the cost of an fsync. Only after a group of three or more the next one
is gathered for 2 ms.
"""

from asyncio import Future
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import NamedTuple, TypeAlias

import structlog

from lastlogin_producer.outcome import Outcome
from lastlogin_producer.settings import SpoolSettings
from lastlogin_producer.spool.faults import Damaged, NotStored, SpoolFault, Unsure
from lastlogin_producer.spool.file import SpoolFile
from lastlogin_producer.spool.layout import ROW_OVERHEAD_BYTES, Meta
from lastlogin_producer.spool.refusing import Refusing
from lastlogin_producer.spool.resend import Resend, Resends
from lastlogin_producer.spool.row import Kind
from lastlogin_producer.spool.salvage import mark_broken
from lastlogin_service.exits import TEMPFAIL, Exit
from lastlogin_service.logs import Occasionally


# One transaction: at 10 us a message, 40 ms between the first message's arrival and its fsync.
_MAX_GROUP = 4_096
# After a group of so many, the next one is gathered for a moment: under load groups would follow one another so fast
# that each costs more than its messages. A login alone never waits.
_BUSY_GROUP = 3
_GATHER_S = 0.002
# What became of stored rows rides on the next group of logins, for an fsync of its own would delay that group.
# It goes alone after this time, or with this many rows. A crash in between only sends them to Kafka again.
_SETTLE_WITHIN_S = 1.0
_SETTLE_ROWS = 1_000
# Kept rows grow old without anything happening.
_IDLE_S = 60.0
# Errors after each of which the file could be opened again, and nothing could be written: it is left to a new start.
_MAX_UNSURE = 20
_REPEAT_LOG_S = 60.0

_log = structlog.get_logger(__name__)

Done: TypeAlias = Callable[[Outcome], None]
# A message as `unnumbered_body` gives it, and whom to tell.
Entry: TypeAlias = tuple[Kind, bytes, Done]


@dataclass(frozen=True, slots=True)
class Gone:
    """Rows to take away from the waiting ones: Kafka has them, or they go aside, each with a reason."""

    delivered: Collection[int] = ()
    aside: Mapping[int, str] = field(default_factory=dict)


class Stop:
    """Write what is queued before this, then end."""


class Malformed:
    """The reader met a part of the file that SQLite cannot make sense of."""


class Report(NamedTuple):
    """What became of a group, and what is stored after it.

    `meta` counts rows as waiting that were delivered and are not in `settled` yet; `bytes` does not. `room` tells
    that some were delivered, or that a full disk is not full any more. `sync_s` are the seconds that it took to make
    the stored ones durable.
    """

    entries: list[Entry]
    outcomes: list[Outcome]
    settled: set[int]
    room: bool
    meta: Meta
    bytes: int
    sync_s: float


class GroupWriter:
    """Takes items from `queue` and writes them to `file` until `Stop`; `run` is the thread's function.

    `report`, `fail` and `resent` are called in this thread: `report` once for each group, in order; `fail` when
    nothing can be stored any more, after which every message is reported as FULL; `resent` at the end of a resend.
    """

    def __init__(
        self,
        file: SpoolFile,
        settings: SpoolSettings,
        now_us: Callable[[], int],
        *,
        report: Callable[[Report], None],
        fail: Callable[[Exit], None],
        resent: Callable[[Future[int], int | Exception], None],
    ) -> None:
        # Without a bound of its own: `Spool` counts what is in it.
        self.queue: SimpleQueue[list[Entry] | Gone | Resend | Malformed | Stop] = SimpleQueue()
        self._file = file
        self._settings = settings
        self._now_us = now_us
        self._send_report = report
        self._fail = fail
        self._delivered: deque[Collection[int]] = deque()
        self._aside: dict[int, str] = {}
        # Told after the report, without which a reader would pass over those that wait again.
        self._resent: list[tuple[Future[int], int | Exception]] = []
        self._tell_resent = resent
        self._resends = Resends(file, settings, lambda done, result: self._resent.append((done, result)))
        self._settle_at: float | None = monotonic()
        # How long the last write took.
        self._sync_s = 0.0
        self._broken = False
        self._refusing = Refusing(file)
        # The last group found no room on the disk; nobody may send another one until it is known that there is some.
        self._disk_full = False
        self._unsure_in_a_row = 0
        self._occasionally = Occasionally(_REPEAT_LOG_S)

    def run(self) -> None:
        """Write until told to stop, then close the file."""
        stopping = busy = False
        while not stopping:
            if busy:
                sleep(_GATHER_S)
            entries, stopping = self._collect()
            busy = len(entries) >= _BUSY_GROUP
            outcomes, settled, room, fault = self._write(entries)
            if fault is None and self._resends:
                fault = self._send_again(settled)
            self._report(entries, outcomes, settled, room=room)
            self._tell_of_resends()
            try:
                self._recover(fault)
            except Exception as error:  # noqa: BLE001 - a defect: without the thread nobody would be answered any more
                self._break_off(_unexpected(error))
        self._resends.give_up(Unsure("the spool is closed; a part of them may wait again"))
        self._tell_of_resends()
        if not self._broken:
            # What fails here is only sent again.
            with suppress(SpoolFault):
                while self._delivered:
                    self._take_delivered()
                self._file.finish(self._now_us())
        self._file.close()

    def _send_again(self, settled: set[int]) -> SpoolFault | None:
        """Do a piece of what is asked for; after a defect the spool is not used on, for `settled` may lack some."""
        try:
            return self._resends.go_on(settled)
        except Exception as error:  # noqa: BLE001 - as in `run`
            self._break_off(_unexpected(error))
            self._resends.give_up(Unsure("the spool cannot be used"))
            return None

    def _tell_of_resends(self) -> None:
        for done, result in self._resent:
            self._tell_resent(done, result)
        self._resent.clear()

    def _collect(self) -> tuple[list[Entry], bool]:
        """Wait for something to write; return all messages that are there, and whether to stop after them."""
        entries: list[Entry] = []
        while len(entries) < _MAX_GROUP:
            try:
                item = self.queue.get_nowait() if entries else self.queue.get(timeout=self._patience())
            except Empty:
                break
            if isinstance(item, Gone):
                self._delivered.append(item.delivered)
                self._aside.update(item.aside)
                if sum(map(len, self._delivered)) >= _SETTLE_ROWS:
                    self._settle_at = 0.0
                elif self._settle_at is None:
                    self._settle_at = monotonic() + _SETTLE_WITHIN_S
            elif isinstance(item, Resend):
                self._resends.append(item)
            elif isinstance(item, Malformed):
                self._break_off(Damaged("a part of it cannot be read"))
            elif isinstance(item, Stop):
                return entries, True
            else:
                entries += item
        return entries, False

    def _patience(self) -> float | None:
        """How long to wait for the next item: not at all while there is something to do in pieces, or for ever."""
        if self._broken:
            return None
        if self._resends:
            return 0.0
        if self._settle_at is not None:
            return max(0.0, self._settle_at - monotonic())
        return _IDLE_S if self._file.meta.kept_rows else None

    def _write(self, entries: list[Entry]) -> tuple[list[Outcome], set[int], bool, SpoolFault | None]:
        outcomes: list[Outcome] = [Outcome.FULL] * len(entries)
        if self._broken:
            self._resends.give_up(Unsure("the spool cannot be used"))
            return outcomes, set(), False, None
        settled: set[int] = set()
        room = bool(self._delivered or self._aside)
        try:
            now_us = self._now_us()
            if room:
                self._take_delivered()
            bodies = self._admit(entries, outcomes)
            if not entries:
                room = self._has_room_again() or room
            if bodies or room or self._file.unfinished(now_us):
                begun = monotonic()
                settled = self._file.write(bodies, now_us, self._aside)
                self._sync_s = monotonic() - begun
        except NotStored as not_stored:
            return [Outcome.FULL] * len(entries), set(), False, not_stored
        except Exception as error:  # noqa: BLE001 - a defect must not leave logins unanswered either
            fault = error if isinstance(error, SpoolFault) else _unexpected(error)
            unsure: list[Outcome] = [
                Outcome.UNCONFIRMED if outcome is Outcome.STORED else outcome for outcome in outcomes
            ]
            return unsure, set(), room, fault
        self._aside.clear()
        if self._delivered:
            self._settle_at = 0.0
        else:
            later = self._disk_full or self._file.unfinished(now_us)
            self._settle_at = monotonic() + _SETTLE_WITHIN_S if later else None
        if bodies:
            self._refusing.tell_storing()
        return outcomes, settled, room and not self._disk_full, None

    def _take_delivered(self) -> None:
        """Take no more than what keeps nobody waiting who has appended meanwhile; all of it again after an error."""
        some: set[int] = set()
        count = 0
        for numbers in self._delivered:
            if len(some) >= _SETTLE_ROWS:
                break
            some.update(numbers)
            count += 1
        self._file.take(some)
        for _ in range(count):
            self._delivered.popleft()

    def _admit(self, entries: list[Entry], outcomes: list[Outcome]) -> list[tuple[Kind, bytes]]:
        """Return what the quota and the disk have room for, and mark it STORED."""
        if not entries:
            return []
        rows = self._settings.max_rows - self._file.rows_waiting
        size = self._settings.max_bytes - self._file.bytes_waiting
        self._disk_full = not self._file.make_room()
        if self._disk_full:
            self._refusing.tell("the disk is full")
            return []
        count = 0
        for _, body, _ in entries:
            if size <= 0 or count >= rows:
                self._refusing.tell("spool.max_rows or spool.max_bytes is reached; Kafka must take some first")
                break
            count += 1
            size -= len(body) + ROW_OVERHEAD_BYTES
        outcomes[:count] = [Outcome.STORED] * count
        return [(kind, body) for kind, body, _ in entries[:count]]

    def _has_room_again(self) -> bool:
        """Whether the disk, which was full, is so no more; the next write shows whether that is true."""
        if not self._disk_full:
            return False
        self._disk_full = not self._file.make_room()
        return not self._disk_full

    def _recover(self, fault: SpoolFault | None) -> None:
        if fault is None:
            self._unsure_in_a_row = 0
            return
        if isinstance(fault, NotStored):
            self._refusing.tell(str(fault))
            self._disk_full = True
            # Else it would be tried again at once, and for ever.
            self._settle_at = monotonic() + _SETTLE_WITHIN_S
            return
        self._unsure_in_a_row += 1
        suppressed = self._occasionally.suppressed("error")
        if suppressed is not None:
            _log.error(f"The spool cannot be written: {fault}", action="spool_error", suppressed=suppressed)
        if isinstance(fault, Unsure) and self._unsure_in_a_row < _MAX_UNSURE:
            try:
                self._file.reopen()
            except SpoolFault as again:
                fault = again
            else:
                if suppressed is not None:
                    _log.info(
                        "The spool was opened again and goes on",
                        action="spool_reopened",
                        rows=self._file.rows_waiting,
                        suppressed=suppressed,
                    )
                # Else it would be tried again at once, with the same error.
                self._settle_at = monotonic() + _SETTLE_WITHIN_S
                self._report([], [], set(), room=False)
                return
        self._break_off(fault)

    def _break_off(self, fault: SpoolFault) -> None:
        """Give up. Of a damaged file it is noted, for the next start may not notice the damage."""
        if self._broken:
            return
        self._broken = True
        path = self._file.path
        message = f"{path}: the spool cannot be used: {fault}"
        if isinstance(fault, Damaged):
            message = f"{path}: the spool is damaged ({fault}); the next start saves what can be read of it"
            try:
                mark_broken(path)
            except OSError as error:
                message += f", if it notices the damage: that cannot be noted: {error}"
        self._fail(Exit(TEMPFAIL, message))

    def _report(self, entries: list[Entry], outcomes: list[Outcome], settled: set[int], *, room: bool) -> None:
        file = self._file
        self._send_report(Report(entries, outcomes, settled, room, file.meta, file.bytes_waiting, self._sync_s))


def _unexpected(error: Exception) -> Unsure:
    return Unsure(f"{type(error).__name__}: {error}")
