"""Nodes that die, hang, are too few or cut off, under consumers with logins coming in (cases 26, 33 and 35).

What is looked for afterwards is always the same: every row is the newest login of its user and service, whole; each
of the three nodes has it; and nothing was set aside.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastlogin_stack.layout import Layout
from tests.support.command import lastlogin
from tests.support.consumer import ConsumerProcess, consumer_variables
from tests.support.partition import PartitionedRing, partitioned_ring
from tests.support.process import wait_until
from tests.support.ring import Logins, Ring
from tests.support.topics import Topics, own_topics


PARTITIONS = 4
# For what has come in, with the nodes that are left.
CAUGHT_UP_S = 60.0
# Of nodes that all came back at once, until everything is written.
RECONNECTED_S = 90.0
ACKNOWLEDGED = "cassandra_write_seconds_count{outcome=acknowledged}"


@pytest.fixture
def topics(brokers: Layout) -> Iterator[Topics]:
    """Topics of one test, on the three brokers."""
    with own_topics(brokers, PARTITIONS, cluster=True) as topics:
        yield topics


@pytest.fixture
def logins(topics: Topics) -> Logins:
    """Logins in these topics."""
    return Logins(topics)


@pytest.fixture
def consumer(nodes: Layout, topics: Topics, ring: Ring, tmp_path: Path) -> Iterator[ConsumerProcess]:
    """A consumer of these topics that writes to the ring."""
    with ConsumerProcess(nodes, topics, tmp_path, **ring.settings) as consumer:
        consumer.wait_for("assigned")
        yield consumer


@pytest.fixture(scope="module")
def parting(brokers: Layout) -> Iterator[PartitionedRing]:
    """Another ring, which can be cut in parts."""
    with partitioned_ring(brokers) as ring:
        yield ring


@pytest.fixture
def cut_off(brokers: Layout, topics: Topics, parting: PartitionedRing, tmp_path: Path) -> Iterator[ConsumerProcess]:
    """A consumer that reaches all nodes of that ring, whether or not they reach each other."""
    with ConsumerProcess(brokers, topics, tmp_path, **parting.settings) as consumer:
        consumer.wait_for("assigned")
        yield consumer
    parting.heal()


def written(topics: Topics, consumer: ConsumerProcess, deadline_s: float = CAUGHT_UP_S) -> None:
    """Wait until the consumer has written and committed everything."""
    consumer.wait_until(lambda: topics.lag(consumer.group) == 0, deadline_s)


def wrong(ring: Ring, topics: Topics, logins: Logins) -> list[str]:
    """What is not as it must be, with all nodes up again."""
    expected = logins.rows()
    found = {"all": ring.repair(logins.prefix)}
    found |= {f"node {number}": rows for number, rows in enumerate(ring.copies(logins.prefix), 1)}
    return [
        f"{where}, {key}: {rows.get(key)}, not {expected.get(key)}"
        for where, rows in found.items()
        for key in expected.keys() | rows.keys()
        if rows.get(key) != expected.get(key)
    ] + [f"set aside: {letter.story}" for letter in topics.letters()]


def test_logins_of_one_microsecond(nodes: Layout, ring: Ring, topics: Topics, logins: Logins, tmp_path: Path) -> None:
    """Two consumers write logins of one time with different addresses: the row is one of them whole, on each node."""
    settings = ring.settings | {"LINGER_S": "0.02"}
    with (
        ConsumerProcess(nodes, topics, tmp_path, **settings) as one,
        ConsumerProcess(nodes, topics, tmp_path, **settings) as other,
    ):
        wait_until(lambda: 2 == len(one.partitions()) == len(other.partitions()))
        for _ in range(20):
            logins.publish_ties(50, PARTITIONS)
        written(topics, one)
        expected = logins.rows()
        # Not read from all at once, which would mend them: two have a row when it is acknowledged, the third follows.
        wait_until(lambda: ring.copies(logins.prefix) == [expected] * 3)

        assert 0 < one.scrape()[ACKNOWLEDGED]
        assert 0 < other.scrape()[ACKNOWLEDGED]
        assert [] == wrong(ring, topics, logins)
        assert 0 == one.stop()
        assert 0 == other.stop()


def test_one_of_three_is_killed(ring: Ring, topics: Topics, logins: Logins, consumer: ConsumerProcess) -> None:
    """With one node down everything is written to the two others, and the third gets what it has missed."""
    with logins.coming_in():
        logins.wait_for(300)
        ring.kill(1)
        logins.wait_for(1_000)
    written(topics, consumer)
    ring.start()

    assert [] == wrong(ring, topics, logins)
    assert 1 == len(consumer.said("assigned"))
    assert 0 == consumer.stop()


def test_two_of_three_are_killed(ring: Ring, topics: Topics, logins: Logins, consumer: ConsumerProcess) -> None:
    """With one node left nothing is acknowledged, at no lower level either, or committed; all is when they are back."""
    logins.publish(300)
    written(topics, consumer)
    ring.kill(2, 3)
    acknowledged = consumer.scrape()[ACKNOWLEDGED]
    logins.publish(500)
    consumer.wait_for("cassandra_failing")
    time.sleep(15)

    assert 500 == topics.lag(consumer.group)
    assert acknowledged == consumer.scrape()[ACKNOWLEDGED]
    assert [reason for reason in consumer.reasons() if "Cassandra" in reason]

    ring.start()
    written(topics, consumer)

    assert [] == wrong(ring, topics, logins)
    assert [] == consumer.reasons()
    assert 1 == len(consumer.said("assigned"))
    assert 0 == consumer.stop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_all_are_restarted_at_once(
    ring: Ring, topics: Topics, logins: Logins, consumer: ConsumerProcess, how: str
) -> None:
    """After a restart of all nodes the consumer finds them again by itself, and has lost nothing."""
    with logins.coming_in():
        logins.wait_for(300)
        getattr(ring, how)(1, 2, 3)
        consumer.wait_for("cassandra_failing")
        ring.start()
        back = time.monotonic()
        logins.wait_for(300)
    written(topics, consumer, RECONNECTED_S - (time.monotonic() - back))

    assert [] == wrong(ring, topics, logins)
    assert [] == consumer.reasons()
    assert 1 == len(consumer.said("assigned"))
    assert 0 == consumer.stop()


@pytest.mark.timeout(240)
def test_one_of_three_hangs(
    nodes: Layout, ring: Ring, topics: Topics, logins: Logins, consumer: ConsumerProcess
) -> None:
    """A node that hangs, or is behind a broken line, holds nothing up for long, and gets it all later.

    The doctor names it, and asks the others.
    """
    settings = consumer_variables(nodes, topics) | {"KAFKA__BOOTSTRAP_SERVERS": topics.servers} | ring.settings
    variables = {f"CONSUMER_{name}": value for name, value in settings.items()} | {"CONSUMER_GROUP": consumer.group}
    with logins.coming_in() as ended:
        logins.wait_for(300)
        with ring.halted(2):
            doctor = lastlogin(nodes, "doctor", **variables)
            logins.wait_for(1_000)
            ended.set()
            written(topics, consumer)
    written(topics, consumer)

    assert "3 nodes, Cassandra 5.0.9; no answer from 127.0.0.2; look at these nodes" in doctor.out
    assert "clock.cassandra: 2 nodes within 1 s of this host" in doctor.out
    assert [] == wrong(ring, topics, logins)
    assert 1 == len(consumer.said("assigned"))
    assert 0 == consumer.stop()


@pytest.mark.timeout(240)
def test_one_of_three_is_cut_off(
    parting: PartitionedRing, topics: Topics, logins: Logins, cut_off: ConsumerProcess
) -> None:
    """When the nodes have noticed that one is cut off, all goes to the two others, and the third gets it later."""
    with logins.coming_in() as ended:
        logins.wait_for(300)
        parting.split((1, 2), (3,))
        logins.wait_for(1_000)
        ended.set()
        written(topics, cut_off)
    one, two, three = parting.copies(logins.prefix)
    assert one == two == logins.rows() != three
    parting.heal()
    logins.publish(300)
    written(topics, cut_off)

    assert [] == wrong(parting, topics, logins)
    assert [] == cut_off.reasons()
    assert 1 == len(cut_off.said("assigned"))
    assert 0 == cut_off.stop()


@pytest.mark.timeout(240)
def test_each_of_three_is_cut_off(
    parting: PartitionedRing, topics: Topics, logins: Logins, cut_off: ConsumerProcess
) -> None:
    """While no node reaches another nothing is acknowledged or committed, though all take rows; then all have all."""
    logins.publish(300)
    written(topics, cut_off)
    parting.split((1,), (2,), (3,))
    acknowledged = cut_off.scrape()[ACKNOWLEDGED]
    logins.publish(500)
    cut_off.wait_for("cassandra_failing")
    time.sleep(15)

    assert 500 == topics.lag(cut_off.group)
    assert acknowledged == cut_off.scrape()[ACKNOWLEDGED]
    assert [reason for reason in cut_off.reasons() if "Cassandra" in reason]

    parting.heal()
    written(topics, cut_off)

    assert [] == wrong(parting, topics, logins)
    assert [] == cut_off.reasons()
    assert 1 == len(cut_off.said("assigned"))
    assert 0 == cut_off.stop()
