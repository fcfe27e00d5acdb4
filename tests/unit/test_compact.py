"""The newest login per user and service."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from lastlogin_consumer.compact import Window, WindowLimits
from lastlogin_consumer.decode import Login, Poison
from tests.support.logins import record


LIMITS = WindowLimits(linger_s=0.2, max_records=100, max_bytes=1_000_000)
SERVICES = ("imap", "pop3")


def _login(user: str, at_us: int, address: bytes = b"", service: str = "imap", *, checked: bool = True) -> Login:
    return Login(user, service, at_us, address, checked, 0)


def _window(limits: WindowLimits = LIMITS) -> Window:
    return Window(limits, SERVICES)


def _apply(table: dict[tuple[str, str], tuple[int, bytes]], logins: list[Login]) -> None:
    """Write rows as Cassandra merges them: cell by cell the higher write time, then the larger bytes."""
    for login in logins:
        key = (login.user, login.service)
        table[key] = max(table.get(key, (0, b"")), (login.login_at_us, login.address))


logins = st.builds(
    _login,
    st.sampled_from(["a", "b", "c"]),
    st.integers(1, 5),
    st.sampled_from([b"", b"\x0a\x00\x00\x09", b"\x0a\x00\x00\x0a", b"\x00" * 15 + b"\x01"]),
    st.sampled_from(SERVICES),
)


@given(st.lists(logins, max_size=30), st.lists(st.integers(0, 29), max_size=30), st.integers(1, 7), st.randoms())
def test_any_order_with_any_duplicates_ends_at_the_newest(
    events: list[Login], repeated: list[int], size: int, random: Random
) -> None:
    """However logins are shuffled, repeated and split into windows, the table ends at the maximum of each key."""
    expected: dict[tuple[str, str], tuple[int, bytes]] = {}
    _apply(expected, events)
    stream = events + [events[index] for index in repeated if index < len(events)]
    random.shuffle(stream)

    table: dict[tuple[str, str], tuple[int, bytes]] = {}
    for start in range(0, len(stream), size):
        window = _window()
        for login in stream[start : start + size]:
            window.add(login, 0.0)
        _apply(table, window.logins)

    assert expected == table


def test_what_was_merged_takes_no_room() -> None:
    """Of many logins of one user and service one waits; the others are counted."""
    window = _window()
    for at_us in (3, 9, 5):
        window.add(_login("a", at_us), 0.0)

    assert [_login("a", 9)] == window.logins
    assert (1, 2, 99) == (window.waiting, window.merged, window.room)


def test_services_without_columns_are_skipped() -> None:
    """A login that has no place in the table is counted, waits not, and its service is known by name."""
    window = _window()
    window.add(_login("a", 1, service="managesieve"), 0.0)

    assert [] == window.logins
    assert (0, 1) == (window.waiting, window.unmapped)
    assert window.unmapped_login is not None
    assert "managesieve" == window.unmapped_login.service
    assert 0.2 == window.due_in(0.0)


def test_unchecked_logins_are_counted() -> None:
    """Logins whose record had no checksum are written, and counted."""
    window = _window()
    window.add(_login("a", 1, checked=False), 0.0)

    assert (1, 1) == (window.waiting, window.unchecked)


def test_a_window_is_due_after_the_linger() -> None:
    """The linger counts from the first record; an empty window is never due."""
    window = _window(WindowLimits(linger_s=1, max_records=100, max_bytes=1_000_000))
    assert window.due_in(100.0) is None

    window.add(_login("a", 1), 100.0)
    window.add(_login("b", 1), 100.75)

    assert 0.25 == window.due_in(100.75)
    assert 0.0 == window.due_in(101.5)


def test_a_full_window_is_due_at_once() -> None:
    """At its number of waiting records a window has no more room and must be written."""
    window = _window(WindowLimits(linger_s=60, max_records=2, max_bytes=1_000_000))
    window.add(_login("a", 1), 0.0)
    window.add(Poison(record(b"x"), "unknown_framing", ""), 0.0)

    assert (0, 0.0) == (window.room, window.due_in(0.0))


def test_bytes_fill_a_window_too() -> None:
    """Long user names, and the bytes of what is set aside, count against the bytes."""
    limits = WindowLimits(linger_s=60, max_records=100, max_bytes=20_000)
    window = _window(limits)
    window.add(_login("a" * 20_000, 1), 0.0)
    assert 0 == window.room

    window = _window(limits)
    window.add(Poison(record(b"x" * 10_000, [("h", b"y" * 10_000), ("none", None)]), "unknown_framing", ""), 0.0)
    assert 0 == window.room


def test_partitions_share_the_limits() -> None:
    """The windows of all partitions together keep within the limits, and each may hold one record at least."""
    assert WindowLimits(0.2, 33, 333_333) == LIMITS.share(3)
    assert WindowLimits(0.2, 1, 5_000) == LIMITS.share(200)
