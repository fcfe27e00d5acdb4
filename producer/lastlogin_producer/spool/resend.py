"""Kept rows that are made to wait again, a piece at a time, so that logins are stored between two of them."""

from asyncio import Future
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from lastlogin_producer.settings import SpoolSettings
from lastlogin_producer.spool.faults import NoRoom, SpoolFault
from lastlogin_producer.spool.file import SpoolFile


class Resend(NamedTuple):
    """What was kept since this microsecond is to wait again; `done` is told how many rows that are, or why not."""

    since_us: int
    done: Future[int]


class Resends:
    """Those that were asked for, one after the other. `tell` is called in the writer's thread."""

    def __init__(
        self, file: SpoolFile, settings: SpoolSettings, tell: Callable[[Future[int], int | Exception], None]
    ) -> None:
        self._file = file
        self._settings = settings
        self._tell = tell
        self._asked: deque[Resend] = deque()
        # Of the first: the number above which rows wait again, and how many do so far.
        self._above: int | None = None
        self._rows = 0

    def __bool__(self) -> bool:
        return bool(self._asked)

    def append(self, resend: Resend) -> None:
        """Ask for one more."""
        self._asked.append(resend)

    def go_on(self, settled: set[int]) -> SpoolFault | None:
        """Do a piece of the first; add to `settled` what is not delivered any more. Returns what went wrong."""
        try:
            if self._above is None:
                self._above = self._begin(self._asked[0].since_us)
            again, rows, done = self._file.wait_again(self._above)
        except NoRoom as error:
            self._end(error)
            return None
        except SpoolFault as error:
            self._end(error)
            return error
        settled |= again
        self._rows += rows
        if done:
            self._end(self._rows)
        return None

    def give_up(self, why: SpoolFault) -> None:
        """Tell all that it will not be."""
        while self._asked:
            self._end(why)

    def _begin(self, since_us: int) -> int:
        file, limits = self._file, self._settings
        above, rows, size = file.kept_since(since_us)
        if file.rows_waiting + rows > limits.max_rows or file.bytes_waiting + size > limits.max_bytes:
            raise NoRoom(
                f"{rows} messages were kept since then, and {file.rows_waiting} wait: together more than "
                f"spool.max_rows or spool.max_bytes. Let Kafka take those first, or send again from a later time"
            )
        return above

    def _end(self, result: int | SpoolFault | NoRoom) -> None:
        self._tell(self._asked.popleft().done, result)
        self._above, self._rows = None, 0
