"""The newest login wins, whatever the order in which logins arrive; its address is its own."""

import time
from pathlib import Path

from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import Cell, EventReader, StatsTable
from tests.support import dict_client


# An hour ago: a login ahead of Kafka's clock would be set aside.
AN_HOUR_AGO_MS = time.time_ns() // 1_000_000 - 3_600_000


def _login(socket: Path, user: str, at_ms: int, address: str = "") -> None:
    key = f"shared/last-login/imap/{user}/{address}"

    assert dict_client.write(socket, user, key, str(at_ms)) == b"O1\n"


def _row_after(pipeline: Layout, table: StatsTable, user: str) -> dict[str, Cell]:
    """The row once everything sent before has been written.

    Rows of one window are written in any order, but a partition's windows one after the other: the second of two
    later logins, sent when the first is in the table, tells that the window of the first is complete.
    """
    for at_ms in (AN_HOUR_AGO_MS, AN_HOUR_AGO_MS + 1):
        dict_client.write(pipeline.dict_socket, user, f"shared/last-login/pop3/{user}", str(at_ms))
        row = table.wait_for(
            user, lambda row, at_ms=at_ms: "pop3" in row and row["pop3"].time_written_us == at_ms * 1000, 15
        )
    return row


def test_an_older_login_that_comes_later_changes_nothing(pipeline: Layout, table: StatsTable) -> None:
    """Reversed order and duplicates leave the newest time with its own address."""
    user = "order-reversed"
    _login(pipeline.dict_socket, user, AN_HOUR_AGO_MS, "192.0.2.1")
    table.wait_for(user, lambda row: "imap" in row, 15)
    for _ in range(3):
        _login(pipeline.dict_socket, user, AN_HOUR_AGO_MS - 60_000, "192.0.2.2")

    row = _row_after(pipeline, table, user)

    assert AN_HOUR_AGO_MS * 1000 == row["imap"].time_written_us
    assert "192.0.2.1" == row["imap"].address


def test_a_newer_login_without_address_clears_the_address(pipeline: Layout, table: StatsTable) -> None:
    """The address of an older login does not stand beside a newer time, not even when the older one is repeated."""
    user = "order-no-address"
    _login(pipeline.dict_socket, user, AN_HOUR_AGO_MS, "192.0.2.1")
    before = table.wait_for(user, lambda row: "imap" in row, 15)
    _login(pipeline.dict_socket, user, AN_HOUR_AGO_MS + 1, "")
    _login(pipeline.dict_socket, user, AN_HOUR_AGO_MS, "192.0.2.1")

    row = _row_after(pipeline, table, user)

    assert "192.0.2.1" == before["imap"].address
    assert ((AN_HOUR_AGO_MS + 1) * 1000, None) == (row["imap"].time_written_us, row["imap"].address)
    assert row["imap"].address_written_us == row["imap"].time_written_us


def test_two_logins_at_one_instant_are_not_mixed(pipeline: Layout, table: StatsTable) -> None:
    """On a tie the larger address wins, in the window as in the table, whatever the order."""
    for user, addresses in (
        ("order-tie-a", ("192.0.2.9", "192.0.2.10")),
        ("order-tie-b", ("192.0.2.10", "192.0.2.9")),
    ):
        for address in addresses:
            _login(pipeline.dict_socket, user, AN_HOUR_AGO_MS, address)

        assert "192.0.2.10" == _row_after(pipeline, table, user)["imap"].address


def test_an_address_in_ipv6(pipeline: Layout, table: StatsTable) -> None:
    """An IPv6 address reaches the row in canonical form, an IPv4-mapped one as IPv4; the event keeps the key."""
    with EventReader(pipeline) as events:
        _login(pipeline.dict_socket, "order-six", AN_HOUR_AGO_MS, "2001:DB8::1")
        _login(pipeline.dict_socket, "order-mapped", AN_HOUR_AGO_MS, "::ffff:192.0.2.7")
        record = events.wait_for(lambda event: event.user == "order-mapped", 10)

    assert record is not None
    assert "shared/last-login/imap/order-mapped/::ffff:192.0.2.7" == record.event.dict_key
    assert "2001:db8::1" == _row_after(pipeline, table, "order-six")["imap"].address
    assert "192.0.2.7" == _row_after(pipeline, table, "order-mapped")["imap"].address
