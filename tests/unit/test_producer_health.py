"""What /livez and /readyz, and so the watchdog, are told of the producer."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lastlogin_producer.health import Health
from lastlogin_producer.oldest import OldestWaiting
from lastlogin_producer.outbox import State
from lastlogin_producer.outbox.health import SpoolHealth
from lastlogin_producer.outcome import Outcome
from lastlogin_producer.service import _first_end
from lastlogin_producer.spool import BEGINNING, Row, Spool, SpoolFault
from tests.support.spool import append, keep, open_spool, store, unnumbered


SERVED: Any = SimpleNamespace(listening=True, misplaced=False)


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    """A spool on a real disk."""
    async with open_spool(tmp_path / "spool") as spool:
        yield spool


class SilentDisk:
    """A disk that does not answer until `answer` is called."""

    def __init__(self, spool: Spool) -> None:
        self._answers = threading.Event()
        self._write = spool._file.write
        spool._file.write = self  # type: ignore[method-assign,assignment]

    def __call__(self, *arguments: Any) -> set[int]:
        """Block the writer's thread."""
        assert self._answers.wait(20)
        return self._write(*arguments)

    def answer(self) -> None:
        """Work again."""
        self._answers.set()


async def test_a_silent_disk(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 2 s it is not ready, after 60 s not alive; when the disk answers again it is both."""
    health = SpoolHealth(spool, ())
    disk = SilentDisk(spool)
    asked = asyncio.create_task(append(spool, unnumbered()))
    await asyncio.sleep(0)
    now = spool._loop.time()
    reasons = {}
    for seconds in (1, 3, 59, 61):
        monkeypatch.setattr(spool, "_answered_at", now - seconds)
        reasons[seconds] = health.live(), health.ready()
    disk.answer()

    assert ([], []) == reasons[1]
    assert ([], ["The disk of the spool has not answered for 3 s"]) == reasons[3]
    assert [] == reasons[59][0]
    assert ["The disk of the spool has not answered for more than 60 s"] == reasons[61][0]
    assert [Outcome.STORED] == await asked
    assert ([], []) == (health.live(), health.ready())


async def test_a_disk_that_is_not_read(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that hangs for 60 s makes it not alive, also when nobody waits for it any more; logins are stored."""
    health = SpoolHealth(spool, ())
    answers = threading.Event()

    def hang(*_: object) -> tuple[list[Row], list[int]]:
        assert answers.wait(20)
        return [], []

    monkeypatch.setattr(spool._reader, "read", hang)
    with suppress(TimeoutError):
        await asyncio.wait_for(spool.read(BEGINNING), 0.01)
    now = spool._loop.time()
    reasons = {}
    for seconds in (59, 61):
        monkeypatch.setattr(spool._reading, "_answered_at", now - seconds)
        reasons[seconds] = health.live(), health.ready()
    assert [Outcome.STORED] == await append(spool, unnumbered())
    answers.set()
    assert [] == await spool.read(BEGINNING)

    assert ([], []) == reasons[59]
    assert (["The disk of the spool has not answered for more than 60 s"], []) == reasons[61]
    assert ([], []) == (health.live(), health.ready())


async def test_a_spool_that_has_failed(tmp_path: Path) -> None:
    """A spool whose file is gone is not alive."""
    async with open_spool(tmp_path / "spool") as spool:
        health = SpoolHealth(spool, ())
        (tmp_path / "spool" / "spool.sqlite").unlink()
        await append(spool, unnumbered())
        await asyncio.wait_for(asyncio.shield(spool.failed), 10)

        assert ["The spool cannot be used any more; the log says why"] == health.live()


async def test_a_writer_that_has_died(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect that ends the thread that writes is told though nobody logs in."""
    health = SpoolHealth(spool, ())
    alive = health.live()
    monkeypatch.setattr(spool._writer, "_collect", lambda: 1 / 0)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    # Wakes it, should it wait already; otherwise it has ended, and this is never answered.
    keep(spool, unnumbered(), lambda _: None)
    await asyncio.to_thread(spool._thread.join, 10)

    assert [] == alive
    assert ["Nothing can be stored any more: the spool's writer has ended"] == health.live()


async def test_a_part_that_has_ended(spool: Spool) -> None:
    """A task that ends, however it does, is told by its name."""
    part = asyncio.create_task(asyncio.sleep(0), name="publisher")
    health = SpoolHealth(spool, {part})
    before = health.live()
    await part

    assert ([], ["A part of the service has ended: publisher"]) == (before, health.live())


async def _raise() -> None:
    raise ValueError("a defect")


@pytest.mark.parametrize(("part", "error"), [(_raise, ValueError), (partial(asyncio.sleep, 0), RuntimeError)])
async def test_a_part_that_ends_ends_the_service(
    spool: Spool, part: Callable[[], Coroutine[Any, Any, None]], error: type[Exception]
) -> None:
    """Nothing runs on without one of its parts, unseen."""
    with pytest.raises(error):
        await asyncio.wait_for(_first_end(spool, {asyncio.create_task(part())}, asyncio.Event()), 5)


def outbox(silent_s: float = 0.0, *, dead: str = "", refusing: str = "") -> Any:
    """An outbox that has said so."""
    return SimpleNamespace(silent_s=silent_s, state=State(dead=[dead][not dead :], refusing=[refusing][not refusing :]))


def test_a_socket_that_is_not_found() -> None:
    """Without a socket that clients find it is alive, and not ready."""
    closed: Any = SimpleNamespace(listening=False, misplaced=False)
    misplaced: Any = SimpleNamespace(listening=True, misplaced=True)

    assert ["The dict socket is not served"] == Health(outbox(), closed, ()).ready()
    [reason] = Health(outbox(), misplaced, ()).ready()
    assert "removed or replaced" in reason
    assert [] == Health(outbox(), misplaced, ()).live()


def test_what_the_outbox_says_of_itself() -> None:
    """What makes the spool dead or full makes the producer so."""
    health = Health(outbox(dead="no disk", refusing="full"), SERVED, ())

    assert (["no disk"], ["full"]) == (health.live(), health.ready())


def test_an_outbox_that_does_not_answer() -> None:
    """After 2 s the producer is not ready, whatever the outbox said last; after 60 s it is not alive."""
    said = {seconds: Health(outbox(seconds), SERVED, ()) for seconds in (1.0, 3.0, 61.0)}

    assert ([], []) == (said[1.0].live(), said[1.0].ready())
    assert ([], ["The outbox has not answered for 3 s"]) == (said[3.0].live(), said[3.0].ready())
    assert ["The outbox has not answered for more than 60 s"] == said[61.0].live()


async def test_a_disk_that_does_not_read(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the spool cannot be read the age of the oldest message is looked for again: its task goes on."""
    faults = 0

    async def fail(*_: object) -> None:
        nonlocal faults
        faults += 1
        raise SpoolFault("does not read")

    await store(spool, ["a"])
    monkeypatch.setattr("lastlogin_producer.oldest._LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(spool, "read", fail)
    oldest = asyncio.create_task(OldestWaiting(spool, lambda: 0).run())
    async with asyncio.timeout(5):
        while faults < 3:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)

    assert not oldest.done()
    oldest.cancel()
    with suppress(asyncio.CancelledError):
        await oldest
