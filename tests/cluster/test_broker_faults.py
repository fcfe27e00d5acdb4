"""Brokers that die, hang or are too few, under a real producer with logins coming in (case 42).

Times are scaled down: a broker hangs for 15 s, not for 45 s, and a request may take 5 s, not 20 s.
"""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from lastlogin_consumer.probe import a_leader_answers
from lastlogin_service.kafka import KafkaSettings, client_options
from tests.support.audit import Findings, audit, read_topics
from tests.support.cluster import Cluster, ClusterProducer
from tests.support.dict_client import Load
from tests.support.process import wait_until
from tests.support.publisher import OutTopics


HALT_S = 15.0
# Of a core, and of lines a second, of a producer that only waits for Kafka.
MAX_SHARE = 0.2
MAX_LINES = 10.0


def logins(producer: ClusterProducer) -> Load:
    """About 200 logins a second."""
    return Load(producer.socket, "u", threads=4, pause_s=0.015)


def more(load: Load, logins: int, deadline_s: float = 60.0) -> None:
    """Wait for so many more logins."""
    end = len(load.acknowledged) + logins
    load.wait_until(lambda load: len(load.acknowledged) >= end, deadline_s)


def checked(cluster: Cluster, topics: OutTopics, load: Load) -> Findings:
    """What is wrong with the run."""
    assert [] == load.other_replies
    assert 0 == load.connect_failures
    return audit(load.account, read_topics(",".join(cluster.servers), topics.events, topics.quarantine))


def test_a_leader_is_killed(cluster: Cluster, directory: Path) -> None:
    """With one of three brokers killed under load all goes on to the others, and nothing is lost."""
    with cluster.topics() as topics, ClusterProducer(directory, topics) as producer:
        producer.serve()
        with logins(producer) as load:
            more(load, 300)
            cluster.kill(topics.leaders(topics.events)[0])
            more(load, 1_000)
        producer.drained()
        assert -1 not in topics.leaders(topics.events).values()
        cluster.start()

        assert [] == checked(cluster, topics, load).gaps


def test_the_controller_is_killed(cluster: Cluster, directory: Path) -> None:
    """With the active controller killed under load nothing is lost."""
    with cluster.topics() as topics, ClusterProducer(directory, topics) as producer:
        producer.serve()
        with logins(producer) as load:
            more(load, 300)
            lost = cluster.controller()
            cluster.kill(lost)
            more(load, 1_000)
        producer.drained()
        assert lost != cluster.controller()
        cluster.start()

        assert [] == checked(cluster, topics, load).gaps


def test_two_of_three_are_killed(cluster: Cluster, directory: Path) -> None:
    """With one broker left logins are stored at little cost of CPU and log, and all go out when the others are back."""
    with cluster.topics() as topics, ClusterProducer(directory, topics) as producer:
        producer.serve()
        with logins(producer) as load:
            more(load, 300)
            cluster.kill(1, 2)
            more(load, 1_000)
        assert producer.value("spool_rows") > 0
        share, lines = producer.at_rest(HALT_S)
        assert producer.value("spool_rows") > 0
        cluster.start()
        producer.drained()

        assert [] == checked(cluster, topics, load).gaps
        assert share < MAX_SHARE
        assert lines < MAX_LINES


def test_too_few_in_sync(cluster: Cluster, directory: Path) -> None:
    """Where a topic wants more replicas than there are Kafka refuses at once: that costs little, and loses nothing."""
    with (
        cluster.topics(min_insync_replicas=3) as topics,
        ClusterProducer(directory, topics) as producer,
    ):
        producer.serve()
        with logins(producer) as load:
            more(load, 300)
            cluster.kill(3)
            more(load, 1_000)
        producer.wait_until(lambda: "NotEnoughReplicasError" in producer.output())
        share, lines = producer.at_rest(HALT_S)
        assert producer.value("spool_rows") > 0
        cluster.start()
        producer.drained()

        assert [] == checked(cluster, topics, load).gaps
        assert share < MAX_SHARE
        assert lines < MAX_LINES


def test_a_leader_hangs(cluster: Cluster, directory: Path) -> None:
    """A broker that hangs for a while costs little CPU and log, and nothing is lost."""
    with cluster.topics() as topics, ClusterProducer(directory, topics) as producer:
        producer.serve()
        with logins(producer) as load:
            more(load, 300)
            with cluster.halted(topics.leaders(topics.events)[0]):
                more(load, 300)
                load.end()
                share, lines = producer.at_rest(HALT_S)
        producer.drained()

        assert [] == checked(cluster, topics, load).gaps
        assert share < MAX_SHARE
        assert lines < MAX_LINES


@pytest.mark.timeout(240)
def test_the_other_partitions_go_on(cluster: Cluster, directory: Path) -> None:
    """Partitions that only the broker which hangs has wait, at little cost; the others get theirs without a gap."""
    with (
        cluster.topics(replicas=1, min_insync_replicas=1) as topics,
        ClusterProducer(directory, topics) as producer,
    ):
        producer.serve()
        leaders = topics.leaders(topics.events)
        halted = leaders[0]
        with logins(producer) as load:
            more(load, 300)
            with cluster.halted(halted):
                # Three and a half request timeouts.
                more(load, 3_500)
                load.end()
                share, lines = producer.at_rest(HALT_S)
        producer.drained()
        records = topics.records(topics.events)
        appended = {
            number: sorted(record.appended_at_ms for record in records if record.partition == number)
            for number in leaders
        }
        gaps_ms = {
            number: max(later - earlier for earlier, later in pairwise(times)) for number, times in appended.items()
        }

        assert [] == checked(cluster, topics, load).gaps
        assert [] == producer.said("kafka_away")
        assert all(gaps_ms[number] < 2_000 for number, leader in leaders.items() if leader != halted)
        assert all(gaps_ms[number] > 10_000 for number, leader in leaders.items() if leader == halted)
        assert share < MAX_SHARE
        assert lines < MAX_LINES


def test_a_partition_without_a_leader_does_not_hide_the_others(cluster: Cluster) -> None:
    """The consumer's watchdog needs one leader that answers: its client may be stuck with that one's partitions."""
    options = client_options(KafkaSettings(bootstrap_servers=list(cluster.servers)), "probe")
    with cluster.topics(replicas=1, min_insync_replicas=1) as topics:
        cluster.kill(topics.leaders(topics.events)[0])
        # Brokers do not learn of it at once: what one of them has said counts.
        leaders: dict[int, int] = {}

        def known() -> bool:
            leaders.update(topics.leaders(topics.events))
            return leaders[0] == -1

        wait_until(known)
        orphans = [number for number, leader in leaders.items() if leader == -1]
        others = [number for number, leader in leaders.items() if leader != -1]

        assert not asyncio.run(a_leader_answers(options, topics.events, orphans))
        assert asyncio.run(a_leader_answers(options, topics.events, [*orphans, *others]))
