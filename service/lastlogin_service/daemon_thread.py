"""A thread for calls that may hang, a disk's or a resolver's, which cannot keep the process from ending.

An executor of the standard library joins its threads at the end of the process, for as long as that takes.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar


_T = TypeVar("_T")


class DaemonThread:
    """Runs one call after the other; belongs to the event loop in which it was made."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        # When it last returned from a call, or was given one with nothing else to do.
        self._answered_at = 0.0
        self._calls: SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def call(self, function: Callable[[], _T]) -> asyncio.Future[_T]:
        """Call it in the thread; the future has what it returns or raises."""
        future: asyncio.Future[_T] = self._loop.create_future()
        if not self._waiting:
            self._answered_at = self._loop.time()
        self._waiting += 1
        self._calls.put((future, function))
        return future

    @property
    def silent_s(self) -> float:
        """Seconds for which calls have waited without any answer, whether or not anybody still waits for them."""
        return self._loop.time() - self._answered_at if self._waiting else 0.0

    def stop(self) -> None:
        """Let the thread end after the calls before this; does not wait for it."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function = call
            result, error = None, None
            try:
                result = function()
            except Exception as raised:  # noqa: BLE001 - whatever it is belongs to whoever waits
                error = raised
            try:
                self._loop.call_soon_threadsafe(self._settle, future, result, error)
            except RuntimeError:
                # The loop ended meanwhile.
                return

    def _settle(self, future: asyncio.Future[_T], result: _T, error: Exception | None) -> None:
        self._waiting -= 1
        self._answered_at = self._loop.time()
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


async def in_thread(function: Callable[[], _T]) -> _T:
    """Call it in a thread of its own; cancelled, that is left to itself. Raises what it raises."""
    thread = DaemonThread("call")
    called = thread.call(function)
    thread.stop()
    return await called
