"""A spool that keeps messages in memory, for tests of what stands before it."""

import asyncio
from collections import deque
from collections.abc import Callable

from lastlogin_producer.outcome import Outcome
from lastlogin_producer.spool.row import unnumbered_body
from lastlogin_schemas.event import LoginEvent, RawWrite


class MemorySpool:
    """Honours `Spool` of the server: numbers messages, tells outcomes later, in the loop, in order of append.

    `room` is how many more messages it takes before it is full. While `held`, outcomes wait for `release`.
    """

    def __init__(self, room: int = 1_000_000, *, epoch: int = 1) -> None:
        self.messages: list[LoginEvent | RawWrite] = []
        self.room = room
        self.epoch = epoch
        self.held = False
        self._waiting: deque[tuple[LoginEvent | RawWrite, Callable[[Outcome], None]]] = deque()

    @property
    def waiting(self) -> int:
        """Messages whose outcome has not been told."""
        return len(self._waiting)

    def append(self, message: LoginEvent | RawWrite, done: Callable[[Outcome], None]) -> None:
        """Take `message`; `done` is called in the loop's next round at the earliest."""
        self._waiting.append((message, done))
        if not self.held:
            asyncio.get_running_loop().call_soon(self._settle, None)

    def release(self, outcome: Outcome | None = None) -> None:
        """Tell the oldest waiting outcome: the true one unless `outcome` is given."""
        self._settle(outcome)

    def _settle(self, outcome: Outcome | None) -> None:
        message, done = self._waiting.popleft()
        if outcome is None:
            outcome = Outcome.STORED if self.room > 0 and _fits(message) else Outcome.FULL
        if outcome is Outcome.STORED:
            self.room -= 1
            self.messages.append(message._replace(epoch=self.epoch, sequence=len(self.messages) + 1))
        done(outcome)


def _fits(message: LoginEvent | RawWrite) -> bool:
    try:
        unnumbered_body(message)
    except UnicodeEncodeError:
        return False
    return True
