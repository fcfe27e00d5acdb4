"""Clocks that are wrong, and times that are none: through the real producer, Kafka, consumer and table."""

import time
from uuid import uuid4

import pytest

from lastlogin_schemas.topics import DEAD_LETTERS, EVENTS, QUARANTINE
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support import dict_client
from tests.support.servers import Running


MINUTE_MS = 60_000


@pytest.fixture
def user() -> str:
    """A user that no other test has."""
    return f"clock-{uuid4().hex[:12]}@example.org"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _login(layout: Layout, user: str, at_ms: int, address: str) -> None:
    key = f"shared/last-login/imap/{user}/{address}"

    assert dict_client.write(layout.dict_socket, user, key, str(at_ms)) == b"O1\n"


def test_a_mail_host_whose_clock_is_ahead(servers: Running, pipeline: Layout, table: StatsTable, user: str) -> None:
    """A login 6 minutes ahead is acknowledged and never a row: the consumer sets it aside; a real one then wins."""
    _login(pipeline, user, _now_ms() + 6 * MINUTE_MS, "192.0.2.66")
    # On the same partition: once this one is set aside, the window in which it came is done.
    letters = servers.read_raw(DEAD_LETTERS, lambda record: record.key() == user.encode(), 1)
    assert "future" == dict(letters[0].headers())["reason"].decode()
    assert {} == table.row(user)
    real_ms = _now_ms()
    _login(pipeline, user, real_ms, "192.0.2.1")
    row = table.wait_for(user, lambda row: "imap" in row, 15)

    assert (real_ms * 1_000, "192.0.2.1") == (row["imap"].time_written_us, row["imap"].address)


def test_a_mail_host_whose_clock_is_a_little_ahead(pipeline: Layout, table: StatsTable, user: str) -> None:
    """Up to 5 minutes are a clock's slack: that login is a row."""
    at_ms = _now_ms() + 4 * MINUTE_MS
    _login(pipeline, user, at_ms, "192.0.2.1")

    assert at_ms * 1_000 == table.wait_for(user, lambda row: "imap" in row, 15)["imap"].time_written_us


@pytest.mark.parametrize("value", ["4291747200000", "9223372036854775807", "-1", "0", "1e9", "", "9" * 40])
def test_a_time_that_is_none(servers: Running, pipeline: Layout, table: StatsTable, user: str, value: str) -> None:
    """The year 2106, the largest number there is, and garbage go to the quarantine; the row is the real login's."""
    key = f"shared/last-login/imap/{user}"
    assert b"O1\n" == dict_client.write(pipeline.dict_socket, user, key, value)
    servers.read_raw(QUARANTINE, lambda record: record.key() == user.encode(), 1)
    real_ms = _now_ms()
    _login(pipeline, user, real_ms, "192.0.2.1")
    row = table.wait_for(user, lambda row: "imap" in row, 15)

    assert real_ms * 1_000 == row["imap"].time_written_us
    assert 1 == len(servers.read_raw(EVENTS, lambda record: record.key() == user.encode()))


def test_a_mail_host_whose_clock_goes_back_an_hour_and_returns(
    servers: Running, pipeline: Layout, table: StatsTable, user: str
) -> None:
    """The logins of that hour are older and lose; all of them are in Kafka; the first after the return wins."""
    before_ms = _now_ms()
    hour_ms = 60 * MINUTE_MS
    _login(pipeline, user, before_ms, "192.0.2.1")
    table.wait_for(user, lambda row: "imap" in row, 15)
    for number in range(10):
        _login(pipeline, user, before_ms - hour_ms + number, "192.0.2.2")
    # All of a user's logins go one way: when this one is a row, those before are done.
    dict_client.write(pipeline.dict_socket, user, f"shared/last-login/pop3/{user}", str(before_ms))
    row = table.wait_for(user, lambda row: "pop3" in row, 15)
    assert (before_ms * 1_000, "192.0.2.1") == (row["imap"].time_written_us, row["imap"].address)
    _login(pipeline, user, before_ms + 1, "192.0.2.3")
    row = table.wait_for(user, lambda row: row["imap"].time_written_us > before_ms * 1_000, 15)

    assert "192.0.2.3" == row["imap"].address
    assert 13 == len(servers.read_raw(EVENTS, lambda record: record.key() == user.encode()))
