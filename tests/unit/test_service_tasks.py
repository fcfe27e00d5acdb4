"""Ending tasks."""

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
