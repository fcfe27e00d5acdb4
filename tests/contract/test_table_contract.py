"""What a pipeline may count on of the table. Each test runs on the fake of the unit tests and on Cassandra."""

from collections.abc import AsyncIterator
from functools import partial
from random import Random
from typing import Protocol
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from lastlogin_consumer.decode import Login
from lastlogin_consumer.ends import Table
from lastlogin_consumer.metrics import ConsumerMetrics
from lastlogin_consumer.table import open_table
from lastlogin_consumer.writer import Writer
from lastlogin_schemas.address import column_bytes
from lastlogin_schemas.table import TableMapping
from lastlogin_service.backoff import Backoff
from lastlogin_service.cassandra import CassandraSettings
from lastlogin_stack.readback import StatsTable
from tests.support.logins import AT_US
from tests.support.memory import MemoryTable


Row = dict[str, tuple[int, int, bytes | None]]


class Cells(Protocol):
    """A table that can be written, and looked at."""

    @property
    def table(self) -> Table:
        """What the pipeline writes to."""

    def row(self, user: str) -> Row:
        """By service: the time (ms), its write time (us), the address."""


class MemoryCells:
    """The fake."""

    def __init__(self) -> None:
        self.table = MemoryTable()

    def row(self, user: str) -> Row:
        return self.table.row(user)


class CassandraCells:
    """The real thing."""

    def __init__(self, table: Table, reader: StatsTable) -> None:
        self.table = table
        self._reader = reader

    def row(self, user: str) -> Row:
        return {
            service: (round(cell.time.timestamp() * 1000), cell.time_written_us, column_bytes(cell.address) or None)
            for service, cell in self._reader.row(user).items()
        }


@pytest.fixture(params=["memory", "cassandra"])
async def cells(request: pytest.FixtureRequest) -> AsyncIterator[Cells]:
    """A table that may hold other users."""
    if request.param == "memory":
        yield MemoryCells()
        return
    layout = request.getfixturevalue("stack")
    settings = CassandraSettings(contact_points=[layout.cassandra_address], port=layout.cassandra_port)
    backoff = partial(Backoff, 0.01, 0.1, Random(0))  # noqa: S311 - jitter
    writer = Writer(TableMapping(), partial(open_table, settings), backoff, ConsumerMetrics(CollectorRegistry()))
    await writer.connect()
    with StatsTable(layout) as reader:
        yield CassandraCells(writer, reader)
    await writer.close(10)


@pytest.fixture
def user() -> str:
    """A user that no other test has."""
    return f"contract-{uuid4().hex}@example.org"


def _login(user: str, at_us: int = AT_US, ip: str | None = None, service: str = "imap") -> Login:
    return Login(user, service, at_us, column_bytes(ip), checked=True, offset=0)


async def test_time_and_address_are_written_under_the_logins_own_time(cells: Cells, user: str) -> None:
    """The row has the milliseconds, and the microseconds as its write time."""
    await cells.table.write([_login(user, AT_US + 1234, "2001:db8::1")])

    expected = (AT_US // 1000 + 1, AT_US + 1234, column_bytes("2001:db8::1"))
    assert {"imap": expected} == cells.row(user)


async def test_the_newest_login_stays_whatever_comes_later(cells: Cells, user: str) -> None:
    """An older login changes neither time nor address, in one call or in another; nor does a repeated one."""
    await cells.table.write([_login(user, AT_US, "192.0.2.1"), _login(user, AT_US - 1, "192.0.2.2")])
    await cells.table.write([_login(user, AT_US - 2, "192.0.2.3")])
    await cells.table.write([_login(user, AT_US, "192.0.2.1")])

    assert {"imap": (AT_US // 1000, AT_US, column_bytes("192.0.2.1"))} == cells.row(user)


@pytest.mark.parametrize(
    ("winner", "loser"), [("10.0.0.10", "10.0.0.9"), ("10.0.0.9", "::1"), ("0.0.0.0", None), ("::2", "::1")]
)
async def test_on_a_tie_the_larger_address_wins(cells: Cells, user: str, winner: str, loser: str | None) -> None:
    """At one instant the larger bytes stay, in either order, and an address wins over none."""
    await cells.table.write([_login(user, ip=winner)])
    await cells.table.write([_login(user, ip=loser)])
    await cells.table.write([_login(user + "2", ip=loser)])
    await cells.table.write([_login(user + "2", ip=winner)])

    assert {"imap": (AT_US // 1000, AT_US, column_bytes(winner))} == cells.row(user) == cells.row(user + "2")


async def test_a_newer_login_without_address_clears_it(cells: Cells, user: str) -> None:
    """The older address is gone, and writing the older login again does not bring it back."""
    older = _login(user, AT_US, "192.0.2.1")
    await cells.table.write([older])
    await cells.table.write([_login(user, AT_US + 1)])
    await cells.table.write([older])

    assert {"imap": (AT_US // 1000, AT_US + 1, None)} == cells.row(user)


async def test_services_have_columns_of_their_own(cells: Cells, user: str) -> None:
    """A login by one service leaves the others alone; which services have columns is known."""
    await cells.table.write([_login(user, AT_US, "192.0.2.1"), _login(user, AT_US + 5_000, service="pop3")])

    assert {
        "imap": (AT_US // 1000, AT_US, column_bytes("192.0.2.1")),
        "pop3": (AT_US // 1000 + 5, AT_US + 5_000, None),
    } == cells.row(user)
    assert "imap" in cells.table.services
    assert "managesieve" not in cells.table.services


async def test_every_login_of_a_call_is_acknowledged_when_it_returns(cells: Cells, user: str) -> None:
    """More rows than may be in flight at a time are all there afterwards."""
    await cells.table.write([_login(f"{user}-{n}", AT_US + n) for n in range(500)])

    assert [AT_US + n for n in range(500)] == [cells.row(f"{user}-{n}")["imap"][1] for n in range(500)]


async def test_a_row_that_is_refused_does_not_hold_the_others(cells: Cells, user: str) -> None:
    """Cassandra takes no key above 64 KiB: that login comes back with a reason, all others are written."""
    refused = [_login(user + "x" * size) for size in (70_000, 80_000)]
    others = [_login(f"{user}-{n}", AT_US + n) for n in range(120)]

    found = await cells.table.write([*others[:60], *refused, *others[60:]])

    assert sorted(refused) == sorted(refusal.login for refusal in found)
    assert all(refusal.why for refusal in found)
    assert [AT_US + n for n in range(120)] == [cells.row(f"{user}-{n}")["imap"][1] for n in range(120)]


@pytest.mark.parametrize("user", ["a/b@x", "x@y@z", "%u", "é" * 2000, "a b", "😀", "..", "';DROP TABLE x", "a\tb"])
async def test_any_user_has_a_row_of_its_own(cells: Cells, user: str) -> None:
    """Whatever a name is made of, it is only a name."""
    await cells.table.write([_login(user, AT_US)])

    assert AT_US == cells.row(user)["imap"][1]
