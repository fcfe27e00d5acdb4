"""The spool as the server and the publisher use it, in the event loop.

The loop only puts messages into a queue and takes outcomes back, a group at a time; the disk is the writer's and
the reader's business, each in a thread of its own.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import structlog

from lastlogin_producer.outcome import Outcome
from lastlogin_producer.settings import SpoolSettings
from lastlogin_producer.spool.directory import SpoolLock, prepare_directory
from lastlogin_producer.spool.faults import Damaged, SpoolFault, Unsure
from lastlogin_producer.spool.layout import AsideReason
from lastlogin_producer.spool.opening import keep_of, open_file
from lastlogin_producer.spool.reader import SpoolReader
from lastlogin_producer.spool.resend import Resend
from lastlogin_producer.spool.row import Kind, Row
from lastlogin_producer.spool.sync_stats import SyncStats
from lastlogin_producer.spool.writer import Done, Entry, Gone, GroupWriter, Malformed, Report, Stop
from lastlogin_service.daemon_thread import DaemonThread
from lastlogin_service.exits import TEMPFAIL, Exit
from lastlogin_service.logs import Occasionally


FILE_NAME = "spool.sqlite"
LOCK_NAME = "spool.lock"

# Below the number of every row, also of salvaged ones, which are negative: where a reader begins.
BEGINNING = -(2**62)

# Messages between loop and disk: 2 s (the longest that a login may wait) of 25,000 logins a second, about 40 MB.
# With more the disk stands still, and waiting only costs memory.
MAX_QUEUED = 50_000
# The same in their bytes, for clients that send more than a login.
MAX_QUEUED_BYTES = 67_108_864
# A read's memory above that of its first row, and a few milliseconds of the reading thread.
_READ_BYTES = 1_048_576
_REPEAT_LOG_S = 60.0

_log = structlog.get_logger(__name__)

_T = TypeVar("_T")


class Spool:
    """Durable queue of messages. Every method belongs to the event loop in which it was made.

    Opens the spool in `settings.directory`, or makes it; blocks meanwhile and raises `Exit`. `backend` is the name
    of this producer; a spool that still holds messages of another name keeps that one (`self.backend`), for their
    numbering goes on under it.

    `arrived` is set whenever there may be something new to read. `failed` is given an `Exit` when nothing can be
    stored any more and only a new start can help; from then on every message is refused.
    """

    def __init__(self, settings: SpoolSettings, backend: str, now_us: Callable[[], int]) -> None:
        self._loop = asyncio.get_running_loop()
        path = settings.directory / FILE_NAME
        prepare_directory(settings.directory)
        self._lock = SpoolLock(settings.directory / LOCK_NAME)
        try:
            self._file = open_file(path, backend, now_us, keep_of(settings))
            self._reader = SpoolReader(path)
        except BaseException as error:  # whatever it is, the lock must go
            self._lock.release()
            if isinstance(error, SpoolFault | OSError):
                raise Exit(TEMPFAIL, f"{path}: cannot open the spool: {error}") from None
            raise
        self.arrived = asyncio.Event()
        self.failed: asyncio.Future[Exit] = self._loop.create_future()
        self.rows_resent = 0
        self.syncs = SyncStats()
        self._set_aside_rows = Counter(self._file.aside)
        self._settings = settings
        self._meta, self._bytes = self._file.meta, self._file.bytes_waiting
        self._rewound = False
        # Rows that Kafka took, and that are above the watermark or still held, so that the reader sees them.
        self._leaving: set[int] = set()
        # Appended in this round of the loop.
        self._batch: list[Entry] = []
        self._queued = self._queued_bytes = 0
        self._refused = False
        # When the disk was last known to work: at its last answer, or when it began to be asked.
        self._answered_at = 0.0
        self._closed = False
        self._occasionally = Occasionally(_REPEAT_LOG_S)
        self._reading = DaemonThread("spool-reader")
        self._writer = GroupWriter(
            self._file,
            settings,
            now_us,
            report=lambda report: self._call(self._settle, report),
            fail=lambda end: self._call(self._fail, end),
            resent=lambda done, result: self._call(lambda _: self._tell_resent(done, result), None),
        )
        self._queue = self._writer.queue
        # A daemon, so that a disk that hangs cannot keep the process from ending.
        self._thread = threading.Thread(target=self._writer.run, name="spool-writer", daemon=True)
        self._thread.start()

    @property
    def backend(self) -> str:
        """Producer's name in every message of this spool."""
        return self._meta.backend

    @property
    def epoch(self) -> int:
        """Microsecond at which this spool was made; sequences count from 1 within it."""
        return self._meta.epoch

    @property
    def rows_waiting(self) -> int:
        """Stored messages that Kafka has not acknowledged."""
        return max(0, self._meta.rows - len(self._leaving))

    @property
    def bytes_waiting(self) -> int:
        """Bytes of those in the file; what Kafka takes is subtracted within about a second."""
        return self._bytes

    @property
    def rows_kept(self) -> int:
        """Messages that Kafka has, kept for sending them again."""
        return self._meta.kept_rows

    @property
    def bytes_kept(self) -> int:
        """Bytes of those in the file."""
        return self._meta.kept_bytes

    @property
    def rows_set_aside(self) -> Mapping[str, int]:
        """Messages in the file that cannot be published, by reason."""
        return self._set_aside_rows

    @property
    def last_sequence(self) -> int:
        """Sequence of the newest stored message; 0 when there was none in this epoch."""
        return self._meta.last_sequence

    @property
    def rows_leaving(self) -> int:
        """Messages that Kafka took, of which the file does not know yet. It grows while the disk refuses to write."""
        return len(self._leaving)

    @property
    def full(self) -> bool:
        """Whether the next message is refused, as far as is known: by the bounds, or as those before it were."""
        limits = self._settings
        reached = self.rows_waiting >= limits.max_rows or self._bytes >= limits.max_bytes or self._queued >= MAX_QUEUED
        return reached or self._refused

    @property
    def disk_silent_s(self) -> float:
        """Seconds for which messages have waited for the disk without any answer."""
        return self._loop.time() - self._answered_at if self._queued else 0.0

    @property
    def reader_silent_s(self) -> float:
        """Seconds for which whoever reads has waited for the disk without any answer."""
        return self._reading.silent_s

    @property
    def writer_alive(self) -> bool:
        """Whether the thread that writes is there; it ends with `close`, and never before."""
        return self._thread.is_alive()

    def append(self, messages: Sequence[tuple[Kind, bytes]], done: Done) -> None:
        """Store `messages`, each as `unnumbered_body` gives it. Never blocks.

        `done(outcome)` is called in the event loop for each of them, once, in order of append. `STORED`: on disk, it
        will reach Kafka. `FULL`: not stored and never will be. `UNCONFIRMED`: maybe stored. Only messages that meet a
        full queue or a closed spool are refused out of turn, all of a call, at the loop's next round.
        """
        size = sum([len(body) for _, body in messages])
        if self._queued + len(messages) > MAX_QUEUED or self._queued_bytes + size > MAX_QUEUED_BYTES or self._closed:
            for _ in messages:
                self._loop.call_soon(done, Outcome.FULL)
            if not self._closed and (suppressed := self._occasionally.suppressed("queue")) is not None:
                _log.error(
                    f"Refusing logins: {self._queued} wait for the disk, which does not answer",
                    action="queue_full",
                    suppressed=suppressed,
                )
            return
        if not self._queued:
            self._answered_at = self._loop.time()
        self._queued += len(messages)
        self._queued_bytes += size
        if not self._batch:
            self._loop.call_soon(self._submit)
        self._batch += [(kind, body, done) for kind, body in messages]

    def _submit(self) -> None:
        """Hand over all that was appended in a round of the loop at once: handing over costs more than appending."""
        if self._batch:
            self._queue.put(self._batch)
            self._batch = []

    async def read(self, after: int, limit: int = 1_000) -> list[Row]:
        """Rows above number `after` that wait, in order: at most `limit`, and about 1 MiB; none at the end.

        `BEGINNING` is below all of them. Salvaged rows come first and have negative numbers, which are of this file
        alone; what they were called is in their bodies.

        Rows whose checksum is wrong are set aside and not returned. Raises `SpoolFault`: try again later.
        """
        while True:
            try:
                rows, damaged = await self._reading.call(partial(self._reader.read, after, limit, _READ_BYTES))
            except Damaged:
                self._queue.put(Malformed())
                raise
            if damaged:
                self.set_aside([number for number in damaged if number not in self._leaving], "damaged")
            if not (rows or damaged):
                return []
            if waiting := [row for row in rows if row.sequence not in self._leaving]:
                return waiting
            after = max([row.sequence for row in rows[-1:]] + damaged[-1:])

    def delivered(self, sequences: Collection[int]) -> None:
        """Let these rows wait no longer: Kafka has acknowledged them."""
        self._leaving.update(sequences)
        self._queue.put(Gone(delivered=sequences))

    def set_aside(self, sequences: Collection[int], reason: AsideReason) -> None:
        """Let these rows wait no longer: they cannot be published. They stay in the file's table `aside`."""
        if not sequences:
            return
        self._leaving.update(sequences)
        self._set_aside_rows[reason] += len(sequences)
        self._queue.put(Gone(aside=dict.fromkeys(sequences, reason)))
        suppressed = self._occasionally.suppressed(("aside", reason))
        if suppressed is not None:
            _log.error(
                f"Rows of the spool are set aside, in its table `aside`, and not published: {reason}",
                action="rows_set_aside",
                reason=reason,
                first_sequence=min(sequences),
                rows=len(sequences),
                suppressed=suppressed,
            )

    async def resend(self, since_us: int) -> int:
        """Let kept rows wait again that were stored at this microsecond (since 1970-01-01 UTC) or later.

        Up to a minute's earlier ones come with them. Returns how many they are. Raises `NoRoom` when they and what
        waits would be more than may wait, and `SpoolFault`, after which a part of them may wait again.
        """
        if self._closed:
            raise Unsure("the spool is closed")
        done: asyncio.Future[int] = self._loop.create_future()
        self._queue.put(Resend(since_us, done))
        return await done

    def rewound(self) -> bool:
        """Whether a `resend` made rows wait again behind a reader's back, who then begins at `BEGINNING`; told once.

        To begin again costs nothing: only rows that wait are read.
        """
        rewound, self._rewound = self._rewound, False
        return rewound

    async def close(self, deadline_s: float = 5.0) -> None:
        """Store what is queued, close the file and let another process have it.

        When the disk does not answer within the deadline, both are left to the end of the process.
        """
        self._closed = True
        end = self._loop.time() + deadline_s
        # The last connection to be closed empties the WAL, and that must be the writer's.
        with suppress(TimeoutError):
            # Half of it is left for what is queued, also when the reader hangs.
            await asyncio.wait_for(self._reading.call(self._reader.close), deadline_s / 2)
        self._reading.stop()
        self._submit()
        self._queue.put(Stop())
        await asyncio.to_thread(self._thread.join, end - self._loop.time())
        # The writer's last report is already among the loop's callbacks.
        await asyncio.sleep(0)
        if self._thread.is_alive():
            _log.error(f"The disk did not answer within {deadline_s:g} s; leaving without it", action="spool_hangs")
            return
        self._lock.release()

    def _settle(self, report: Report) -> None:
        self._queued -= len(report.entries)
        self._queued_bytes -= sum([len(body) for _, body, _ in report.entries])
        self._meta, self._bytes = report.meta, report.bytes
        self._leaving -= report.settled
        self._answered_at = self._loop.time()
        if stored := report.outcomes.count(Outcome.STORED):
            self.syncs.seconds.observe(report.sync_s)
            self.syncs.rows.observe(stored)
        if report.entries:
            self._refused = report.outcomes[-1] is Outcome.FULL
        elif report.room:
            # There is room again; whoever routes by readiness would else never send the login that shows it.
            self._refused = False
        self.arrived.set()
        for (_, _, done), outcome in zip(report.entries, report.outcomes, strict=True):
            try:
                done(outcome)
            except Exception as error:  # noqa: BLE001 - the others must hear of theirs
                self._loop.call_exception_handler({"message": "a spool callback failed", "exception": error})

    def _tell_resent(self, done: asyncio.Future[int], result: int | Exception) -> None:
        self._rewound = True
        self.arrived.set()
        if isinstance(result, int):
            self.rows_resent += result
            _log.info(f"{result} messages that Kafka had are sent again", action="resent", rows=result)
        if done.done():
            return
        if isinstance(result, int):
            done.set_result(result)
        else:
            done.set_exception(result)

    def _fail(self, end: Exit) -> None:
        if not self.failed.done():
            self.failed.set_result(end)

    def _call(self, callback: Callable[[_T], None], argument: _T) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, argument)
        except RuntimeError:
            # The loop ended without waiting for the writer; nobody is left to be told.
            return
