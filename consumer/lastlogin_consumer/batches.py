"""Logins into batches: who shares a coordinator shares a request, up to what a node takes without complaint. Pure."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Protocol

from lastlogin_consumer.decode import Login


# Cassandra warns of batches above 5 KiB (batch_size_warn_threshold) and refuses those above 50 KiB. It counts what
# it stores; the request's own bytes are a little more than that.
MAX_BYTES = 5_000
# Half of what fits with short names; more of them in one request did not pay off any more.
MAX_ROWS = 50
# A row's bytes beside its user, address and service: the statement's id, lengths, time, TTL and write time.
_ROW_BYTES = 61
_LENGTH_BYTES = 4


class Coordinators(Protocol):
    """Who coordinates what; `ring.Ring`."""

    def coordinator(self, key: bytes) -> Hashable:
        """Who coordinates requests for this partition key."""


def batches(
    logins: Iterable[Login],
    ring: Coordinators,
    key: Callable[[Login], bytes] | None = None,
    *,
    with_service: bool = False,
) -> Iterator[list[Login]]:
    """Sort logins into batches of one coordinator each, the full ones first; a row that is too large goes alone.

    `key` gives the partition key of a login's row; None where that is the user. Rows may name their service, too.
    Lazily: a window has some 50,000 logins, and no more are looked at than are needed for the next batch.
    """
    rows: dict[Hashable, list[Login]] = defaultdict(list)
    sizes: dict[Hashable, int] = defaultdict(int)
    coordinator = ring.coordinator
    for login in logins:
        user = login.user.encode()
        whose = coordinator(user if key is None else key(login))
        size = _ROW_BYTES + len(user) + len(login.address)
        if with_service:
            size += _LENGTH_BYTES + len(login.service.encode())
        batch = rows[whose]
        if batch and (len(batch) >= MAX_ROWS or sizes[whose] + size > MAX_BYTES):
            yield batch
            batch = rows[whose] = []
            sizes[whose] = 0
        batch.append(login)
        sizes[whose] += size
    yield from rows.values()
