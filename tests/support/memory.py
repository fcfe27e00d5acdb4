"""Log, table and dead-letter topic in memory; `tests/contract` holds them to what Kafka and Cassandra do."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from aiokafka.structs import ConsumerRecord

from lastlogin_consumer.decode import Login, Poison
from lastlogin_consumer.errors import FetchFailed, OffsetLost, Unreadable
from lastlogin_consumer.writer import Refused
from lastlogin_schemas.event import MAX_USER_BYTES


Record: TypeAlias = ConsumerRecord[bytes, bytes]


async def until(condition: Callable[[], bool], turns: int = 100_000) -> None:
    """Let the others run until `condition` holds. Raises TimeoutError when they had their turns in vain."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise TimeoutError


class VirtualClock:
    """Seconds that only pass when somebody waits for records that are not there."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class MemoryPartition:
    """One partition with its committed offset, as `source.PartitionLog` shows it."""

    def __init__(self, clock: VirtualClock, number: int = 0) -> None:
        self.number = number
        self.records: list[Record] = []
        self.first = 0
        self.committed: int | None = None
        self.watermark: int | None = None
        # Offsets of damaged records; the client cannot tell which of those it fetches together is damaged.
        self.damaged: set[int] = set()
        # Offsets whose records somebody has deleted.
        self.deleted: set[int] = set()
        self.refuses = 0
        self.fetches = 0
        # Gives nothing, whatever there is.
        self.deaf = False
        self._clock = clock

    def append(self, record: Record) -> None:
        """Publish a record; its offset is the next one."""
        self.records.append(replace(record, partition=self.number, offset=len(self.records)))

    def commit(self) -> None:
        """Commit the watermark, as the source does regularly."""
        if self.watermark is not None:
            self.committed = self.watermark

    async def start(self) -> int:
        """The committed offset, else the earliest."""
        return self.first if self.committed is None else self.committed

    async def fetch(self, position: int, limit: int, wait_s: float) -> Sequence[Record]:
        """Records from `position` on; waiting for them is what makes time pass."""
        await asyncio.sleep(0)
        self.fetches += 1
        if self.refuses:
            self.refuses -= 1
            raise FetchFailed("refused")
        if not self.first <= position <= len(self.records):
            raise OffsetLost(position, self.first)
        found = [] if self.deaf else self.records[position : position + limit]
        if self.damaged.intersection(record.offset for record in found):
            self._clock.now += 0.01
            raise Unreadable(f"damaged at or after offset {position}")
        if not found:
            self._clock.now += wait_s
        return [record for record in found if record.offset not in self.deleted]

    async def end(self) -> int:
        """The offset that the next record gets."""
        return len(self.records)

    def done(self, watermark: int) -> None:
        """Everything before `watermark` may be committed."""
        self.watermark = watermark


class Gate:
    """Something that may be away: whoever comes waits until it is back."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.waiting = 0

    def close(self) -> None:
        """Be away."""
        self._open.clear()

    def open(self) -> None:
        """Be back."""
        self._open.set()

    async def __call__(self) -> None:
        self.waiting += 1
        try:
            await self._open.wait()
        finally:
            self.waiting -= 1


class MemoryTable:
    """Cells by user and service, merged as Cassandra merges them: the higher write time, then the larger bytes."""

    def __init__(self, services: Sequence[str] = ("imap", "pop3")) -> None:
        self.services = services
        self.gate = Gate()
        # Users whose rows it does not take, beside those with too long a name.
        self.refused: set[str] = set()
        # And write times.
        self.refused_at: set[int] = set()
        self._cells: dict[tuple[str, str], dict[str, tuple[int, bytes]]] = {}

    async def write(self, logins: Sequence[Login]) -> list[Refused]:
        """Write each login's time and address under its own write time."""
        await self.gate()
        refused = []
        for login in logins:
            too_long = len(login.user.encode()) > MAX_USER_BYTES
            if too_long or login.user in self.refused or login.login_at_us in self.refused_at:
                refused.append(Refused(login, "not this one"))
                continue
            cells = self._cells.setdefault((login.user, login.service), {})
            time = (login.login_at_us // 1000).to_bytes(8, "big")
            for column, value in (("time", time), ("address", login.address)):
                cells[column] = max(cells.get(column, (0, b"")), (login.login_at_us, value))
        return refused

    def row(self, user: str) -> dict[str, tuple[int, int, bytes | None]]:
        """By service: the time (ms), its write time (us), and the address, whose zero bytes read as none."""
        return {
            service: (int.from_bytes(cells["time"][1], "big"), cells["time"][0], cells["address"][1] or None)
            for (name, service), cells in self._cells.items()
            if name == user
        }


class MemoryDeadLetters:
    """What was set aside."""

    sentence = "A record of no use was set aside"

    def __init__(self) -> None:
        self.gate = Gate()
        self.letters: list[Poison] = []

    async def send(self, poison: Sequence[Poison]) -> None:
        """Keep them."""
        await self.gate()
        self.letters += poison
