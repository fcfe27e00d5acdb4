"""Which node coordinates a key: the driver's answer, at a tenth of its cost, for grouping rows. Pure.

Cassandra's ring is a sorted list of tokens; a key belongs to the first one that is not below its own, and after the
last comes the first. The driver sends a request to the first replica in the local data centre that is up
(`TokenAwarePolicy` without shuffling), so keys of one token range share it, and ranges that share it make a group.
"""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from cassandra.cmurmur3 import murmur3
from cassandra.metadata import Murmur3Token


class Ring:
    """The coordinator of each token range; `tokens` are sorted, and each is the end of its range.

    Without tokens every key has the same coordinator, None: whichever node the driver takes.
    """

    def __init__(self, tokens: Sequence[int] = (), coordinators: Sequence[Hashable] = ()) -> None:
        self._tokens = tokens
        self._coordinators = [*coordinators, *coordinators[:1]]
        self._several = len(set(coordinators)) > 1

    def coordinator(self, key: bytes) -> Hashable:
        """Who coordinates a request for the partition of this key; None when any node may."""
        if not self._several:
            return self._coordinators[0] if self._coordinators else None
        return self._coordinators[bisect_left(self._tokens, murmur3(key))]


class Topology:
    """The ring of one keyspace out of the driver's metadata, built anew when they have changed.

    `may_coordinate` tells whether requests go to a host. Other partitioners than Murmur3Partitioner, and a ring that
    is not known yet, have no groups.
    """

    def __init__(self, metadata: Any, keyspace: str, may_coordinate: Callable[[Any], bool]) -> None:
        self._metadata = metadata
        self._keyspace = keyspace
        self._may_coordinate = may_coordinate
        self._ring = Ring()
        self._seen: tuple[object, object, object] = (None, None, None)

    def ring(self) -> Ring:
        """Who coordinates what now."""
        token_map = self._metadata.token_map
        if token_map is None or token_map.token_class is not Murmur3Token:
            return Ring()
        up = {host for host in self._metadata.all_hosts() if self._may_coordinate(host)}
        # The driver makes both anew when nodes come and go, and when the keyspace is altered.
        seen = (token_map, token_map.tokens_to_hosts_by_ks.get(self._keyspace), up)
        if not all(old is new or old == new for old, new in zip(self._seen, seen, strict=True)):
            coordinators = [
                next((host for host in token_map.get_replicas(self._keyspace, token) if host in up), None)
                for token in token_map.ring
            ]
            self._ring = Ring([token.value for token in token_map.ring], coordinators)
            self._seen = (token_map, token_map.tokens_to_hosts_by_ks.get(self._keyspace), up)
        return self._ring
