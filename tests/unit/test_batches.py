"""Which logins go into one request."""

from collections.abc import Hashable
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from lastlogin_consumer.batch_request import ExpiringRowFormat, RowFormat
from lastlogin_consumer.batches import MAX_BYTES, MAX_ROWS, batches
from lastlogin_consumer.decode import Login
from tests.support.logins import AT_US


# Cassandra's ids of statements are MD5 sums.
PACKED = RowFormat(SimpleNamespace(query_id=bytes(16)), address=True)


class ByFirstByte:
    """A ring on which the first byte of a key tells who coordinates."""

    def coordinator(self, key: bytes) -> Hashable:
        return key[0]


def logins(users: list[str]) -> list[Login]:
    """A login of each, told apart by their offsets."""
    return [Login(user, "imap", AT_US, bytes(16), True, offset) for offset, user in enumerate(users)]


def packed_bytes(batch: list[Login]) -> int:
    """Length of its rows in a request."""
    return sum(len(PACKED.pack(login)) for login in batch)


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=300), max_size=400))
def test_every_login_is_in_one_batch_with_its_coordinators(users: list[str]) -> None:
    """None is lost or there twice; a batch has one coordinator, and keeps within the limits unless it is one row."""
    ring, expected = ByFirstByte(), logins(users)
    found = list(batches(iter(expected), ring))

    assert expected == sorted((login for batch in found for login in batch), key=lambda login: login.offset)
    for batch in found:
        assert 1 == len({ring.coordinator(login.user.encode()) for login in batch})
        assert len(batch) <= MAX_ROWS
        assert packed_bytes(batch) <= MAX_BYTES or len(batch) == 1


def test_a_full_batch_is_within_the_limit_as_it_is_sent() -> None:
    """Whatever the length of the users, the rows of a request are no more bytes than allowed, and not far below."""
    for length in range(1, 1_000, 11):
        full = next(batches(logins(["a" * length] * 100), ByFirstByte()))
        size = packed_bytes(full)

        assert size <= MAX_BYTES
        assert len(full) == MAX_ROWS or 0.9 * MAX_BYTES < size + packed_bytes(full[:1])


def test_the_service_and_the_ttl_count_where_rows_have_them() -> None:
    """The same of rows with a service of their own and seconds until they are forgotten."""
    for service in ("pop3", "s" * 64):
        packed = ExpiringRowFormat(
            SimpleNamespace(query_id=bytes(16)), 3_600, address=True, service=service, wall=lambda: AT_US / 1e6
        )
        rows = [login._replace(service=service) for login in logins(["a" * 60] * 100)]
        full = next(batches(rows, ByFirstByte(), with_service=True))
        size = sum(len(packed.pack(login)) for login in full)

        assert 0.9 * MAX_BYTES < size <= MAX_BYTES


def test_full_batches_come_before_all_logins_were_looked_at() -> None:
    """What is asked for is made, and no more."""
    looked = iter(logins(["a"] * 1_000))
    made = batches(looked, ByFirstByte())

    assert MAX_ROWS == len(next(made))
    assert MAX_ROWS == len(next(made))
    assert 1_000 - 2 * MAX_ROWS - 1 == len(list(looked))


def test_rows_have_the_coordinators_of_their_own_keys() -> None:
    """Where the user alone is not the partition key, that key tells who coordinates."""
    made = list(batches(logins(["ab", "ac", "bc"]), ByFirstByte(), lambda login: login.user.encode()[1:]))

    assert [["ab"], ["ac", "bc"]] == [[login.user for login in batch] for batch in made]
