"""Ending tasks."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar


_AGAIN_AFTER_S = 0.5

_T = TypeVar("_T")


async def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` until all have ended, however they do.

    One time is not enough: `asyncio.wait_for` of Python 3.11, through which aiokafka connects, forgets a cancellation
    that comes just when what it waits for has failed, and a task that tries again for ever goes on. So whoever waits
    here may be cancelled again, too: that is passed on, and raised when all have ended.
    """
    left = set(tasks)
    cancelled: asyncio.CancelledError | None = None
    while left:
        for task in left:
            task.cancel()
        try:
            _, left = await asyncio.wait(left, timeout=_AGAIN_AFTER_S)
        except asyncio.CancelledError as again:
            cancelled = again
    if cancelled is not None:
        raise cancelled


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Do `work`, and raise what it raises; give it up when `stop` is set first, and return False."""
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not task.done():
        await cancel([task])
        return False
    task.result()
    return True


async def end_within(seconds: float, *endings: Coroutine[Any, Any, object]) -> None:
    """Do these at once, for so long at most, whatever they raise; what hangs is cancelled and left."""
    tasks = {asyncio.ensure_future(ending) for ending in endings}
    for task in tasks:
        # Nobody is left who could do anything about an error.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
    _, left = await asyncio.wait(tasks, timeout=seconds)
    for task in left:
        task.cancel()


async def whole(work: Coroutine[Any, Any, _T], grace_s: float) -> _T:
    """Do `work`. When cancelled, let it come to its end by itself for so long, then cancel it; raise in either case."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # An error of the work is nobody's any more.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({task}, timeout=grace_s)
        raise
    finally:
        if not task.done():
            await cancel([task])
