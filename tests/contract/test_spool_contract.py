"""What the server may count on of the spool. Each test runs on the fake of its tests and on the real one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from lastlogin_producer.outbox import Outbox
from lastlogin_producer.outcome import Outcome
from lastlogin_schemas.event import LoginEvent, RawWrite
from tests.fakes.memory_spool import MemorySpool
from tests.support.outbox import start
from tests.support.spool import BACKEND, decoded, open_spool, read_all, unnumbered


WRITE = RawWrite(b"\xff", "bad_user", "no UTF-8", "statsdb", ((b"shared/x", b"1"), (b"", b"")), BACKEND, 5)


Message = LoginEvent | RawWrite


class Keeping(Protocol):
    """A spool, and a look at what it keeps."""

    def append(self, message: Message, done: Callable[[Outcome], None]) -> None:
        """As the server calls it."""

    async def kept(self) -> list[Message]:
        """Every stored message, in order."""


class MemoryKeeping(MemorySpool):
    """The fake."""

    async def kept(self) -> list[Message]:
        return self.messages


class RealKeeping:
    """The real one, a process of its own."""

    def __init__(self, outbox: Outbox, directory: Path) -> None:
        self.append = outbox.append
        self._outbox = outbox
        self._directory = directory

    async def kept(self) -> list[Message]:
        await self._outbox.close()
        async with open_spool(self._directory) as spool:
            return [decoded(row) for row in await read_all(spool)]


Make = Callable[[int], Awaitable[Keeping]]


@pytest.fixture(params=["memory", "real"])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Make a spool with room for so many messages."""
    async with AsyncExitStack() as exits:

        async def make(room: int) -> Keeping:
            if request.param == "memory":
                return MemoryKeeping(room)
            outbox = start(tmp_path / "spool", max_rows=room)
            exits.push_async_callback(outbox.close)
            await outbox.open()
            return RealKeeping(outbox, tmp_path / "spool")

        yield make


class Answers:
    """Collects outcomes, each with the number of its message."""

    def __init__(self, spool: Keeping) -> None:
        self.told: list[tuple[int, Outcome]] = []
        self._spool = spool
        self._more = asyncio.Event()

    def append(self, number: int, message: Message) -> None:
        """Append `message` as the one with this number."""

        def done(outcome: Outcome) -> None:
            self.told.append((number, outcome))
            self._more.set()

        self._spool.append(message, done)

    async def wait_for(self, count: int) -> None:
        """Wait until so many were told."""
        async with asyncio.timeout(10):
            while len(self.told) < count:
                self._more.clear()
                await self._more.wait()


async def test_outcomes_come_later_once_and_in_order(make: Make) -> None:
    """`append` returns before its outcome is told; each message gets one, in order of append."""
    answers = Answers(await make(1_000))
    for number in range(300):
        answers.append(number, unnumbered(f"user{number}"))

        assert len(answers.told) == 0
    await answers.wait_for(300)

    assert [(number, Outcome.STORED) for number in range(300)] == answers.told


async def test_messages_are_kept_whole_and_numbered_without_gaps(make: Make) -> None:
    """What is stored is what was appended, numbered 1, 2, 3, ... over logins and quarantined writes together."""
    spool = await make(1_000)
    appended: list[Message] = [
        unnumbered("a/b@x", attributes={"k": "\u00e4"}),
        WRITE,
        unnumbered("b", remote_ip=None),
        WRITE,
    ]
    answers = Answers(spool)
    for number, message in enumerate(appended):
        answers.append(number, message)
        await answers.wait_for(number + 1)
    kept = await spool.kept()

    [epoch] = {message.epoch for message in kept}
    assert epoch > 0
    assert [message._replace(epoch=epoch, sequence=n) for n, message in enumerate(appended, 1)] == kept


async def test_a_message_that_cannot_be_encoded_is_refused_alone(make: Make) -> None:
    """Its neighbours are stored, and it takes no number."""
    spool = await make(3)
    answers = Answers(spool)
    for number, user in enumerate(["a", "\ud800", "c"]):
        answers.append(number, unnumbered(user))
    await answers.wait_for(3)

    assert [(0, Outcome.STORED), (1, Outcome.FULL), (2, Outcome.STORED)] == answers.told
    assert [(1, "a"), (2, "c")] == [(m.sequence, m.user) for m in await spool.kept()]


async def test_full(make: Make) -> None:
    """Beyond its room a spool tells FULL, in turn, and keeps what it has; a refused message takes no number."""
    spool = await make(3)
    answers = Answers(spool)
    for number in range(5):
        answers.append(number, unnumbered(f"user{number}"))
    await answers.wait_for(5)
    answers.append(5, WRITE)
    await answers.wait_for(6)

    assert [(n, Outcome.STORED if n < 3 else Outcome.FULL) for n in range(6)] == answers.told
    assert [(1, "user0"), (2, "user1"), (3, "user2")] == [(m.sequence, m.user) for m in await spool.kept()]
