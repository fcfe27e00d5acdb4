"""Stopping on a signal, and reading the configuration again."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType

import structlog


_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@asynccontextmanager
async def stop_event() -> AsyncIterator[asyncio.Event]:
    """Give an event that the first SIGTERM or SIGINT sets; the second one ends the process with 128 + its number.

    Use in the main thread. Earlier handlers are put back at the end.

    Plain handlers instead of `loop.add_signal_handler`: those only run when the loop gets to them, so that a
    second signal could not end a process whose loop hangs. It therefore leaves without any clean-up, too.
    """
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    asked = False

    def announce(name: str) -> None:
        event.set()
        structlog.get_logger(__name__).info(
            f"Stopping on {name}; the same again ends at once", action="stop", signal=name
        )

    def received(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            sys.stdout.flush()
            os._exit(128 + number)
        asked = True
        loop.call_soon_threadsafe(announce, signal.Signals(number).name)

    previous = {number: signal.signal(number, received) for number in _STOP_SIGNALS}
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@asynccontextmanager
async def hangup_event() -> AsyncIterator[asyncio.Event]:
    """Give an event that each SIGHUP sets; whoever acts on it clears it first. Use in the main thread.

    Before this a SIGHUP ends the process, and so it does afterwards: the earlier handler is put back at the end.
    """
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    previous = signal.signal(signal.SIGHUP, lambda _number, _frame: loop.call_soon_threadsafe(event.set))
    try:
        yield event
    finally:
        signal.signal(signal.SIGHUP, previous)
