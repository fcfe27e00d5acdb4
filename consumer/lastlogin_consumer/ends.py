"""What a pipeline reads, and where its logins and its poison go."""

from collections.abc import Container, Sequence
from typing import Protocol

from lastlogin_consumer.decode import Login, Poison, Record
from lastlogin_consumer.second_reading import Refusal


class Partition(Protocol):
    """What a pipeline reads; `source.PartitionLog`."""

    @property
    def number(self) -> int:
        """Number of the partition."""

    async def start(self) -> int:
        """Offset to begin at. Raises `FetchFailed`."""

    async def fetch(self, position: int, limit: int, wait_s: float) -> Sequence[Record]:
        """Records from `position` on. Raises `FetchFailed`, `Unreadable`, `OffsetLost`."""

    async def end(self) -> int:
        """Offset that the next record to be published will have. Raises `FetchFailed`."""

    def done(self, watermark: int) -> None:
        """Everything before `watermark` may be committed."""


class Table(Protocol):
    """Where logins go; `writer.Writer`."""

    @property
    def services(self) -> Container[str]:
        """Services that have columns."""

    async def write(self, logins: Sequence[Login]) -> Sequence[Refusal]:
        """Return when every one of them is acknowledged or refused, however long that takes; those that are refused."""


class SetAside(Protocol):
    """Where poison goes; `dead_letters.DeadLetters`."""

    @property
    def sentence(self) -> str:
        """What the log says of what was sent."""

    async def send(self, poison: Sequence[Poison]) -> None:
        """Return when every one of them is acknowledged, however long that takes."""
