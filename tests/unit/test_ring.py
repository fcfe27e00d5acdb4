"""Who coordinates a key: the same node that the driver would send its request to."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

from cassandra.connection import DefaultEndPoint
from cassandra.metadata import KeyspaceMetadata, Metadata
from cassandra.policies import DCAwareRoundRobinPolicy, HostDistance, SimpleConvictionPolicy, TokenAwarePolicy
from cassandra.pool import Host
from cassandra.query import SimpleStatement
from hypothesis import given
from hypothesis import strategies as st

from lastlogin_consumer.ring import Ring, Topology


KEYSPACE = "statsdb"
MURMUR3 = "org.apache.cassandra.dht.Murmur3Partitioner"
TOKENS = st.integers(-(2**63) + 1, 2**63 - 1)


class Cluster:
    """What the driver knows of a cluster: nodes in two data centres, some of them down, each with some tokens."""

    def __init__(self, nodes: list[tuple[str, bool, list[int]]], replicas: int, partitioner: str = MURMUR3) -> None:
        self.metadata = Metadata()
        self.hosts: list[Host] = []
        tokens: dict[Host, list[str]] = {}
        for number, (dc, up, owned) in enumerate(nodes):
            endpoint = DefaultEndPoint(f"127.0.0.{number + 1}")
            host = Host(endpoint, SimpleConvictionPolicy, datacenter=dc, rack="r", host_id=UUID(int=number + 1))
            host.set_up() if up else host.set_down()
            self.metadata.add_or_return_host(host)
            self.hosts.append(host)
            tokens[host] = [str(token) for token in owned]
        self.replicate(replicas)
        self.metadata.rebuild_token_map(partitioner, tokens)
        self.policy = TokenAwarePolicy(DCAwareRoundRobinPolicy("dc1"))
        self.policy.populate(SimpleNamespace(metadata=self.metadata), self.hosts)
        self.topology = Topology(
            self.metadata, KEYSPACE, lambda host: host.is_up and self.policy.distance(host) == HostDistance.LOCAL
        )

    def replicate(self, replicas: int) -> None:
        """Make the keyspace anew, in `dc1` alone."""
        options = {"dc1": str(replicas)}
        self.metadata.keyspaces[KEYSPACE] = KeyspaceMetadata(KEYSPACE, True, "NetworkTopologyStrategy", options)

    def drivers_choice(self, key: bytes) -> Host:
        """Where the driver sends a request for the partition `key` first."""
        statement = SimpleStatement("", routing_key=key, keyspace=KEYSPACE)
        return next(iter(self.policy.make_query_plan(None, statement)))


@st.composite
def clusters(draw: Any) -> tuple[list[tuple[str, bool, list[int]]], int]:
    """One to eight nodes with one to four tokens each, one of them local and up; how many replicas there are."""
    count = draw(st.integers(1, 8))
    tokens = draw(st.lists(TOKENS, min_size=4 * count, max_size=4 * count, unique=True))
    nodes = [
        (draw(st.sampled_from(["dc1", "dc2"])), draw(st.booleans()), tokens[4 * n : 4 * n + draw(st.integers(1, 4))])
        for n in range(count)
    ]
    nodes[0] = ("dc1", True, nodes[0][2])
    return nodes, draw(st.integers(1, 3))


@given(clusters(), st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=20))
def test_the_coordinator_is_the_drivers(
    layout: tuple[list[tuple[str, bool, list[int]]], int], keys: list[bytes]
) -> None:
    """Wherever a replica in the local data centre is up, the ring names the driver's first choice."""
    cluster = Cluster(*layout)
    ring = cluster.topology.ring()

    for key in keys:
        found = ring.coordinator(key)
        if found is not None:
            assert cluster.drivers_choice(key) == found
        else:
            assert not any(
                host.is_up and host.datacenter == "dc1" for host in cluster.metadata.get_replicas(KEYSPACE, key)
            )


def test_nodes_that_come_and_go_change_the_ring() -> None:
    """A node that goes down coordinates nothing; the same ring is given again as long as nothing has changed."""
    cluster = Cluster([("dc1", True, [0]), ("dc1", True, [2**62])], replicas=2)
    before = cluster.topology.ring()
    assert before is cluster.topology.ring()
    assert {before.coordinator(b"%d" % n) for n in range(100)} == set(cluster.hosts)

    cluster.hosts[0].set_down()

    assert {cluster.topology.ring().coordinator(b"%d" % n) for n in range(100)} == {cluster.hosts[1]}


def test_a_keyspace_that_is_altered_changes_the_ring() -> None:
    """With another replication, what the driver makes anew is read anew."""
    cluster = Cluster([("dc2", True, [0]), ("dc1", True, [2**62])], replicas=1)
    assert cluster.topology.ring().coordinator(b"x") == cluster.hosts[1]

    cluster.replicate(0)
    cluster.metadata.token_map.rebuild_keyspace(KEYSPACE)

    assert cluster.topology.ring().coordinator(b"x") is None


def test_rings_that_cannot_be_read_have_one_group() -> None:
    """Before the ring is known, with another partitioner, and without tokens, any node may coordinate."""
    unknown = Topology(Metadata(), KEYSPACE, bool).ring()
    other = Cluster([("dc1", True, [0]), ("dc1", True, [9])], 1, "org.apache.cassandra.dht.RandomPartitioner")

    assert {None} == {ring.coordinator(b"x") for ring in (unknown, other.topology.ring(), Ring())}
