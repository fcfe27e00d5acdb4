"""The outbox as the serving process sees it: messages in, outcomes back."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self

import structlog

from lastlogin_producer.outbox import frames, process
from lastlogin_producer.outbox.health import SILENT_S
from lastlogin_producer.outbox.state import State
from lastlogin_producer.outcome import Outcome
from lastlogin_producer.settings import ProducerSettings
from lastlogin_producer.spool.spool import MAX_QUEUED, MAX_QUEUED_BYTES
from lastlogin_service.daemon_thread import in_thread
from lastlogin_service.exits import SOFTWARE, TEMPFAIL, Exit
from lastlogin_service.logs import Occasionally
from lastlogin_service.tasks import cancel


# How often it is asked how it is when nobody else asks, and how long an answer is waited for.
_ASK_EVERY_S = 1.0
_ANSWER_S = 1.0
_LOOK_S = 0.25
# Messages in a batch: what they take is known when they are packed.
_MOST_AT_ONCE = 256
# It gives its own work 5 s, and Kafka one.
_CLOSE_S = 7.0
_REAP_S = 1.0
_REPEAT_LOG_S = 60.0

_log = structlog.get_logger(__name__)

Done = Callable[[Outcome], None]


class Outbox(asyncio.Protocol):
    """Sends messages to the process that `fork` makes, and tells what became of them.

    `open`, then `append` and the others, then `close`; `run` is a task in between. `failed` is given an `Exit` when
    nothing can be stored any more and only a new start can help.
    """

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.state = State()
        self.backend = ""
        self.failed: asyncio.Future[Exit]
        self._connection = connection
        self._frames = frames.Frames()
        # Appended in this round of the loop.
        self._messages: list[frames.Message] = []
        self._dones: list[Done] = []
        # Those that wait for their outcomes, and their bytes, by the number of the batch.
        self._batches: dict[int, tuple[list[Done], int]] = {}
        self._last_batch = 0
        self._queued = self._queued_bytes = 0
        self._questions: dict[int, asyncio.Future[Any]] = {}
        self._last_question = 0
        self._asked_at: float | None = None
        self._asking: asyncio.Task[State | None] | None = None
        self._closed = False
        self._occasionally = Occasionally(_REPEAT_LOG_S)

    @classmethod
    def fork(cls, settings: ProducerSettings) -> Self:
        """Start the process. For a program that has no event loop yet, and no thread that holds a lock."""
        ours, theirs = socket.socketpair()
        # What is there now is used by both, unchanged for good: neither needs to look for garbage in it.
        gc.freeze()
        # Whoever started us may ignore it, and then nobody could wait for the process.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        parent = os.getpid()
        # None must be met in between by the other process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, process.IGNORED)
        pid = os.fork()
        if not pid:
            try:
                process.run(settings, theirs, parent)
            finally:
                os._exit(SOFTWARE)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        ours.setblocking(False)
        return cls(pid, ours)

    async def open(self) -> None:
        """Wait until the spool is open. Raises the `Exit` with which that failed. Cancelled, it is of no more use."""
        self._loop = asyncio.get_running_loop()
        self.failed = self._loop.create_future()
        self._opened: asyncio.Future[str] = self._loop.create_future()
        self._gone = asyncio.Event()
        self._transport, _ = await self._loop.connect_accepted_socket(lambda: self, self._connection)
        first: set[asyncio.Future[Any]] = {self._opened, self.failed}
        try:
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        if self.failed.done():
            raise self.failed.result()
        self.backend = self._opened.result()

    def append(self, message: frames.Message, done: Done) -> None:
        """Store `message`; call `done` with what became of it: once, later, in the event loop. Never blocks.

        `STORED`: on disk, it will reach Kafka. `FULL`: not stored and never will be. `UNCONFIRMED`: maybe stored.
        """
        if self._queued >= MAX_QUEUED or self._queued_bytes >= MAX_QUEUED_BYTES or self._gone.is_set():
            self._loop.call_soon(done, Outcome.FULL)
            if not self._gone.is_set() and (suppressed := self._occasionally.suppressed("queue")) is not None:
                _log.error(
                    f"Refusing logins: {self._queued} wait for the disk, which does not answer",
                    action="queue_full",
                    suppressed=suppressed,
                )
            return
        self._queued += 1
        if not self._dones:
            self._loop.call_soon(self._submit)
        self._messages.append(message)
        self._dones.append(done)
        if len(self._dones) >= _MOST_AT_ONCE:
            self._submit()

    def _submit(self) -> None:
        """Send all that was appended in a round of the loop at once."""
        messages, dones = self._messages, self._dones
        if not dones:
            return
        self._messages, self._dones = [], []
        self._last_batch = self._last_batch + 1 & 0xFFFF_FFFF
        try:
            frame = frames.messages(self._last_batch, messages)
        except ValueError:
            # A defect, and no reason to stop taking logins on.
            self._queued -= len(dones)
            for done in dones:
                self._loop.call_soon(done, Outcome.FULL)
            if (suppressed := self._occasionally.suppressed("refused")) is not None:
                _log.exception(
                    "Messages cannot be handed over and are refused", action="message_refused", suppressed=suppressed
                )
            return
        self._queued_bytes += len(frame)
        self._batches[self._last_batch] = dones, len(frame)
        self._send(frame)
        if self._gone.is_set():
            self._refuse_all()

    @property
    def silent_s(self) -> float:
        """Seconds for which the process has not answered."""
        return 0.0 if self._asked_at is None else self._loop.time() - self._asked_at

    async def run(self) -> None:
        """Ask how it is, now and then, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(_ASK_EVERY_S)

    async def refresh(self) -> None:
        """Bring `state` up to date, unless the process does not answer within a second."""
        # One question for all who ask: those to a process that hangs would pile up.
        if self._asking is None or self._asking.done():
            self._asking = self._loop.create_task(self._ask("state"))
        await asyncio.wait({self._asking}, timeout=_ANSWER_S)
        if self._asking.done() and (state := self._asking.result()) is not None:
            self.state = state

    async def drain(self, timeout_s: float) -> None:
        """Wait until Kafka has everything, for so long at most; at once when Kafka or the outbox does not answer."""
        asked = self._loop.create_task(self._ask("drain", timeout_s))
        ends_at = self._loop.time() + timeout_s
        while not asked.done() and self.silent_s < SILENT_S and self._loop.time() < ends_at:
            await asyncio.wait({asked}, timeout=min(_LOOK_S, timeout_s))
        await cancel([asked])

    def set_log_level(self, level: str) -> None:
        """Let lines of this level and above through there, too."""
        self._send(frames.saying(None, "level", level))

    async def close(self) -> None:
        """Have everything closed, and wait for the end of the process; a disk that hangs is not waited for."""
        if self._closed:
            return
        self._closed = True
        self._send(frames.saying(None, "close"))
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await self._gone.wait()
        if not self._gone.is_set():
            _log.error(f"The outbox did not end within {_CLOSE_S:g} s; leaving without it", action="outbox_hangs")
            os.kill(self.pid, signal.SIGKILL)
        self._transport.abort()
        # Its descriptors are closed, so that it has all but ended.
        with suppress(TimeoutError):
            await asyncio.wait_for(in_thread(lambda: os.waitpid(self.pid, 0)), _REAP_S)

    async def _ask(self, *words: Any) -> Any:
        """Return the answer; None when the process has ended."""
        if self._gone.is_set():
            return None
        self._last_question += 1
        number, answer = self._last_question, self._loop.create_future()
        self._questions[number] = answer
        if self._asked_at is None:
            self._asked_at = self._loop.time()
        self._send(frames.saying(number, *words))
        try:
            return await answer
        finally:
            del self._questions[number]

    def data_received(self, data: bytes) -> None:
        """Hear what the process says."""
        for what, rest in self._frames.feed(data):
            if what == frames.OUTCOMES:
                self._settle(*frames.read_outcomes(rest))
            else:
                self._hear(*frames.read_saying(rest))

    def _settle(self, batch: int, outcomes: Sequence[Outcome]) -> None:
        dones, size = self._batches.pop(batch)
        self._queued -= len(dones)
        self._queued_bytes -= size
        for done, outcome in zip(dones, outcomes, strict=True):
            try:
                done(outcome)
            except Exception as error:  # noqa: BLE001 - the others must hear of theirs
                self._loop.call_exception_handler({"message": "a callback of the outbox failed", "exception": error})

    def _hear(self, about: Any, *words: Any) -> None:
        self._asked_at = None
        if about == "opened":
            self._opened.set_result(words[0])
        elif about == "failed":
            self._fail(Exit(*words))
        elif (question := self._questions.get(about)) is not None and not question.done():
            question.set_result(words[0])

    def _send(self, frame: bytes) -> None:
        if not self._gone.is_set():
            self._transport.write(frame)

    def _refuse_all(self) -> None:
        for batch, (dones, _) in tuple(self._batches.items()):
            self._settle(batch, [Outcome.UNCONFIRMED] * len(dones))

    def _fail(self, end: Exit) -> None:
        if not self.failed.done():
            self.failed.set_result(end)

    def connection_lost(self, _error: Exception | None) -> None:
        """Refuse everything: the process has ended."""
        self._gone.set()
        self._refuse_all()
        for question in self._questions.values():
            if not question.done():
                question.set_result(None)
        self._fail(
            Exit(
                TEMPFAIL,
                f"The outbox, process {self.pid}, has ended; lines above this one say why, unless it was killed",
            )
        )
