"""Ending tasks, and letting them end."""

import asyncio

import pytest

from lastlogin_service import tasks


async def test_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that forgets a cancellation is cancelled again; one that ended badly, and none at all, are no trouble."""
    monkeypatch.setattr(tasks, "_AGAIN_AFTER_S", 0.01)
    forgotten = 0

    async def forgetful() -> None:
        nonlocal forgotten
        while True:
            try:
                await asyncio.sleep(20)
            except asyncio.CancelledError:
                forgotten += 1
                if forgotten > 2:
                    raise

    async def failing() -> None:
        raise OSError("no")

    both = [asyncio.create_task(forgetful()), asyncio.create_task(failing())]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await tasks.cancel(both)
        await tasks.cancel([])

    assert 3 == forgotten
    assert both[0].cancelled()
    assert isinstance(both[1].exception(), OSError)


async def test_cancel_of_tasks_of_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that ends others ends when they have, however often it is cancelled meanwhile."""
    monkeypatch.setattr(tasks, "_AGAIN_AFTER_S", 0.01)
    forgotten = 0

    async def forgetful() -> None:
        nonlocal forgotten
        while forgotten < 5:
            try:
                await asyncio.sleep(20)
            except asyncio.CancelledError:
                forgotten += 1

    async def outer() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await tasks.cancel([inner])

    inner, waiting = asyncio.create_task(forgetful()), asyncio.create_task(outer())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await tasks.cancel([waiting])

    assert (True, True) == (inner.done(), waiting.cancelled())


async def test_whole() -> None:
    """A cancelled one ends by itself in the time that it is given, and what it raises is let go; else it is ended."""
    ended = []

    async def work(seconds: float) -> str:
        await asyncio.sleep(seconds)
        ended.append(seconds)
        raise OSError("no")

    for seconds, grace_s in ((0.01, 5.0), (20.0, 0.01)):
        task = asyncio.create_task(tasks.whole(work(seconds), grace_s))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        assert task.cancelled()
    assert [0.01] == ended
    with pytest.raises(OSError, match="no"):
        await tasks.whole(work(0), 5.0)
    assert "done" == await tasks.whole(asyncio.sleep(0, "done"), 5.0)


async def test_work_is_given_up_when_told_to_stop() -> None:
    """It is True when the work has come to its end, which may be an error; given up, it has ended."""
    stop, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fail() -> None:
        raise ZeroDivisionError

    assert await tasks.unless(stop, asyncio.sleep(0))
    with pytest.raises(ZeroDivisionError):
        await tasks.unless(stop, fail())
    stop.set()
    assert not await tasks.unless(stop, work())
    assert ended.is_set()
