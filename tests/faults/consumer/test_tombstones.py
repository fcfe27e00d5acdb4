"""Case 27: a login without an address, and the older one with an address again when tombstones are gone."""

import time
from collections.abc import Callable

import pytest

from lastlogin_schemas.event import LoginEvent
from tests.support.consumer import ConsumerProcess
from tests.support.login_stream import newest
from tests.support.logins import login
from tests.support.own_table import OwnTable
from tests.support.process import wait_until
from tests.support.topics import Topics


GC_GRACE_S = 60
# More than Cassandra keeps rows in memory below, so that between two looks all of them are in one file.
LOOK_EVERY_S = 3.0
# Cassandra then drops tombstones by itself: each new file is merged with the one that is there.
_FORGETFUL = (
    f"WITH gc_grace_seconds = {GC_GRACE_S} AND memtable_flush_period_in_ms = 1000 "
    "AND compaction = {'class': 'SizeTieredCompactionStrategy', 'min_threshold': 2}"
)
_OLDER = {"imap": "192.0.2.1", "pop3": "2001:db8::1", "webmail": "198.51.100.7", "lmtp": "::1"}


@pytest.mark.timeout(240)
def test_an_address_does_not_come_back(
    topics: Topics,
    table: OwnTable,
    member: Callable[..., ConsumerProcess],
    figures: Callable[[str], None],
) -> None:
    """The newer login stands without an address, also when the older one is written again after gc_grace_seconds.

    Beside a null that somebody else wrote the older address is back then: so the test knows that tombstones are gone.
    """
    table.alter(_FORGETFUL)
    now = time.time_ns() // 1000
    older = [login("test1", now, service=service, ip=ip) for service, ip in _OLDER.items()]
    newer = [event._replace(login_at_us=event.login_at_us + 1, remote_ip=None) for event in older]
    other = login("other", now, ip="192.0.2.1")
    consumer = member()
    consumer.start()
    consumer.wait_for("assigned")

    def written(*events: LoginEvent) -> None:
        topics.publish(*events)
        wait_until(lambda: topics.lag(consumer.group) == 0)

    def other_address() -> bytes:
        written(other)
        return table.cells_of(["other"])["other", "imap"].address

    written(*older)
    assert newest(older) == table.cells_of(["test1"])
    written(*newer)
    assert newest(newer) == table.cells_of(["test1"])
    table.write_null("other", "imap", now + 1)
    begun = time.monotonic()
    written(*older)
    assert newest(newer) == table.cells_of(["test1"])
    assert b"" == other_address()

    while not other_address():
        assert time.monotonic() - begun < 2 * GC_GRACE_S, "Cassandra keeps its tombstones"
        time.sleep(LOOK_EVERY_S)
    gone_s = time.monotonic() - begun
    written(*older)
    assert newest(newer) == table.cells_of(["test1"])

    # Everything once more, and now each of them by itself.
    again = member(GROUP=f"{consumer.group}-again", LINGER_S="0")
    again.start()
    wait_until(lambda: topics.lag(f"{consumer.group}-again") == 0)
    assert newest(newer) == table.cells_of(["test1"])
    assert 0 == consumer.stop()
    assert 0 == again.stop()
    figures(f"tombstone gone after {gone_s:.0f} s, gc_grace_seconds {GC_GRACE_S}")

    # A second less, for Cassandra counts whole ones.
    assert gone_s > GC_GRACE_S - 1
    assert [] == topics.letters()
