"""Calls that may hang, a disk's or a resolver's, in threads that the program does not wait for when it ends."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar


T = TypeVar("T")


async def in_thread(call: Callable[[], T]) -> T:
    """Do `call` in a thread of its own; cancelled, it is left to itself. Raises what it raises."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(act: Callable[[], None]) -> None:
        if not future.done():
            act()

    def work() -> None:
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            raised = error
            told = lambda: future.set_exception(raised)  # noqa: E731
        else:
            told = lambda: future.set_result(result)  # noqa: E731
        # The loop may have ended without waiting.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, told)

    threading.Thread(target=work, daemon=True).start()
    return await future
