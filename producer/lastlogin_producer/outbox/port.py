"""The outbox's end of the connection to the serving process."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from lastlogin_producer.outbox import frames
from lastlogin_producer.outbox.state import State
from lastlogin_producer.outcome import Outcome
from lastlogin_producer.publisher import Publisher
from lastlogin_producer.spool import Kind, Spool
from lastlogin_producer.spool.row import unnumbered_body
from lastlogin_service import logs
from lastlogin_service.exits import TEMPFAIL, Exit
from lastlogin_service.logs import Occasionally


_REPEAT_LOG_S = 60.0

_log = structlog.get_logger(__name__)


class Port(asyncio.Protocol):
    """Takes messages for the spool, tells outcomes and answers questions, from `open` on.

    When the other process is gone, this one ends at once: what was acknowledged is on disk, and the next start must
    find the spool free.
    """

    def __init__(self) -> None:
        # Set when the order comes to close everything.
        self.closing = asyncio.Event()
        self._closed = False
        self._frames = frames.Frames()
        self._tasks: set[asyncio.Task[None]] = set()
        self._occasionally = Occasionally(_REPEAT_LOG_S)

    def open(self, spool: Spool, publisher: Publisher, state: Callable[[], State]) -> None:
        """Say that messages can be stored from now on."""
        self._spool = spool
        self._publisher = publisher
        self._state = state
        self._send("opened", spool.backend)

    def fail(self, end: Exit) -> None:
        """Say that nothing can be stored any more, and that the producer has to end with this."""
        self._send("failed", end.code, end.message)

    def close(self) -> None:
        """Say nothing more."""
        self._closed = True
        self._transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the way back."""
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        """End, unless all is done."""
        if not self._closed:
            os._exit(TEMPFAIL)

    def data_received(self, data: bytes) -> None:
        """Store messages, and do what is asked."""
        for what, rest in self._frames.feed(data):
            if what == frames.MESSAGES:
                self._keep(*frames.read_messages(rest))
            else:
                self._do(*frames.read_saying(rest))

    def _keep(self, batch: int, messages: list[frames.Message]) -> None:
        encoded: list[tuple[Kind, bytes]] = []
        refused: list[int] = []
        for place, message in enumerate(messages):
            try:
                encoded.append(unnumbered_body(message))
            except Exception as error:  # noqa: BLE001 - whatever the encoder meets; the others must not suffer
                refused.append(place)
                if (suppressed := self._occasionally.suppressed(type(error).__name__)) is not None:
                    _log.error(
                        f"A message does not fit its schema and is refused: {type(error).__name__}",
                        action="message_refused",
                        suppressed=suppressed,
                    )
        answers = _Answers(self, batch, len(encoded), refused)
        if encoded:
            self._spool.append(encoded, answers.add)
        else:
            answers.tell()

    def answer(self, batch: int, outcomes: list[Outcome]) -> None:
        """Tell what became of a batch."""
        self._transport.write(frames.outcomes(batch, outcomes))

    def _do(self, question: int, what: str, *words: Any) -> None:
        match what, words:
            case "state", ():
                self._send(question, self._state())
            case "drain", (timeout_s,):
                task = asyncio.get_running_loop().create_task(self._drain(question, timeout_s))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case "level", (name,):
                logs.set_level(name)
            case "close", ():
                self.closing.set()

    async def _drain(self, question: int, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._publisher.drain()
        self._send(question, None)

    def _send(self, *words: Any) -> None:
        self._transport.write(frames.saying(*words))


class _Answers:
    """Collects the outcomes of a batch, which come in turn; `add` takes the next one. `refused` are places in it."""

    __slots__ = ("_batch", "_count", "_outcomes", "_port", "_refused")

    def __init__(self, port: Port, batch: int, count: int, refused: list[int]) -> None:
        self._port = port
        self._batch = batch
        self._count = count
        self._refused = refused
        self._outcomes: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        if len(self._outcomes) == self._count:
            self.tell()

    def tell(self) -> None:
        for place in self._refused:
            self._outcomes.insert(place, Outcome.FULL)
        self._port.answer(self._batch, self._outcomes)
