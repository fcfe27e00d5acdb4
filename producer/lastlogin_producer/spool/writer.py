"""The thread that writes the spool.

Everything that arrived while it waited for the disk goes into its next transaction, so that as many logins as came
meanwhile share the cost of an fsync, and nobody waits for a timer.
"""

from asyncio import Future
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple, TypeAlias

import structlog

from lastlogin_producer.outcome import Outcome
from lastlogin_producer.settings import SpoolSettings
from lastlogin_producer.spool.faults import Damaged, NotStored, SpoolFault, Unsure
from lastlogin_producer.spool.file import SpoolFile
from lastlogin_producer.spool.layout import ROW_OVERHEAD_BYTES, Meta
from lastlogin_producer.spool.resend import Resend, Resends
from lastlogin_producer.spool.row import Kind
from lastlogin_producer.spool.salvage import mark_broken
from lastlogin_service.exits import TEMPFAIL, Exit


# One transaction: at 10 us a message, 40 ms between the first message's arrival and its fsync.
_MAX_GROUP = 4_096
# What became of stored rows rides on the next group of logins, for an fsync of its own would delay that group.
# It goes alone after this time, or with this many rows. A crash in between only sends them to Kafka again.
_SETTLE_WITHIN_S = 1.0
_SETTLE_ROWS = 1_000
# Kept rows grow old without anything happening.
_IDLE_S = 60.0
# Without a refusal for so long, refusing has ended.
_REFUSING_S = 10.0

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
    that some were delivered.
    """

    entries: list[Entry]
    outcomes: list[Outcome]
    settled: set[int]
    room: bool
    meta: Meta
    bytes: int


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
        self._resends = Resends(file, settings, resent)
        self._settle_at: float | None = monotonic()
        self._broken = False
        self._refusing = False
        self._refused_at = 0.0

    def run(self) -> None:
        """Write until told to stop, then close the file."""
        stopping = False
        while not stopping:
            entries, stopping = self._collect()
            outcomes, settled, room, fault = self._write(entries)
            if fault is None and self._resends:
                fault = self._resends.go_on(settled)
            self._report(entries, outcomes, settled, room=room)
            if fault is not None:
                self._recover(fault)
        self._resends.give_up(Unsure("the spool is closed; a part of them may wait again"))
        if not self._broken:
            # What fails here is only sent again.
            with suppress(SpoolFault):
                while self._delivered:
                    self._file.take(self._some_delivered())
                self._file.finish(self._now_us())
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
        now_us = self._now_us()
        try:
            if room:
                self._file.take(self._some_delivered())
            bodies = self._admit(entries, outcomes)
            if bodies or room or self._file.unfinished(now_us):
                settled = self._file.write(bodies, now_us, self._aside)
        except NotStored as not_stored:
            return [Outcome.FULL] * len(entries), set(), room, not_stored
        except Exception as error:  # noqa: BLE001 - a defect must not leave logins unanswered either
            fault = error if isinstance(error, SpoolFault) else Unsure(f"{type(error).__name__}: {error}")
            for index, outcome in enumerate(outcomes):
                if outcome is Outcome.STORED:
                    outcomes[index] = Outcome.UNCONFIRMED
            return outcomes, set(), room, fault
        self._aside.clear()
        if self._delivered:
            self._settle_at = 0.0
        else:
            self._settle_at = monotonic() + _SETTLE_WITHIN_S if self._file.unfinished(now_us) else None
        if bodies:
            self._tell_storing()
        return outcomes, settled, room, None

    def _some_delivered(self) -> set[int]:
        """Take no more than what keeps nobody waiting who has appended meanwhile."""
        some: set[int] = set()
        while self._delivered and len(some) < _SETTLE_ROWS:
            some.update(self._delivered.popleft())
        return some

    def _admit(self, entries: list[Entry], outcomes: list[Outcome]) -> list[tuple[Kind, bytes]]:
        """Return what the quota and the disk have room for, and mark it STORED."""
        if not entries:
            return []
        rows = self._settings.max_rows - self._file.rows_waiting
        size = self._settings.max_bytes - self._file.bytes_waiting
        if not self._file.make_room():
            self._tell_refusing("the disk is full")
            return []
        count = 0
        for _, body, _ in entries:
            if size <= 0 or count >= rows:
                self._tell_refusing("spool.max_rows or spool.max_bytes is reached; Kafka must take some first")
                break
            count += 1
            size -= len(body) + ROW_OVERHEAD_BYTES
        outcomes[:count] = [Outcome.STORED] * count
        return [(kind, body) for kind, body, _ in entries[:count]]

    def _recover(self, fault: SpoolFault) -> None:
        if isinstance(fault, NotStored):
            self._tell_refusing(str(fault))
            # Else it would be tried again at once, and for ever.
            self._settle_at = monotonic() + _SETTLE_WITHIN_S
            return
        _log.error(f"The spool cannot be written: {fault}", action="spool_error")
        if isinstance(fault, Unsure):
            try:
                self._file.reopen()
            except SpoolFault as again:
                fault = again
            else:
                _log.info(
                    "The spool was opened again and goes on", action="spool_reopened", rows=self._file.rows_waiting
                )
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

    def _tell_refusing(self, reason: str) -> None:
        self._refused_at = monotonic()
        if not self._refusing:
            self._refusing = True
            _log.error(
                f"Refusing logins: {reason}",
                action="spool_full",
                rows=self._file.rows_waiting,
                bytes=self._file.bytes_waiting,
            )

    def _tell_storing(self) -> None:
        """Log the end of refusing; only after a while, for at the bound the two alternate with each group."""
        if self._refusing and monotonic() - self._refused_at > _REFUSING_S:
            self._refusing = False
            _log.info(
                "Storing logins again",
                action="spool_accepts",
                rows=self._file.rows_waiting,
                bytes=self._file.bytes_waiting,
            )

    def _report(self, entries: list[Entry], outcomes: list[Outcome], settled: set[int], *, room: bool) -> None:
        file = self._file
        self._send_report(Report(entries, outcomes, settled, room, file.meta, file.bytes_waiting))
