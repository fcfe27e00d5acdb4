"""A stop while Kafka hangs, with the producer as a process of its own."""

import time
from pathlib import Path

from lastlogin_stack.kafka import Kafka
from tests.support.audit import audit, read_topics
from tests.support.dict_client import Load
from tests.support.process import halted
from tests.support.producer import ProducerProcess
from tests.support.publisher import OutTopics


def test_sigterm_while_kafka_hangs(topics: OutTopics, kafka: Kafka, tmp_path: Path) -> None:
    """A Kafka that is there and does not answer delays no stop beyond the deadline; what it did not take is kept."""
    pid = kafka.process.pid()
    assert pid is not None
    with ProducerProcess(tmp_path, **topics.producer_settings) as producer:
        producer.serve()
        with Load(producer.socket, "hang-", threads=2, pause_s=0.01) as load:
            load.wait_until(lambda load: len(load.acknowledged) >= 100)
            with halted(pid):
                load.wait_until(lambda load: len(load.acknowledged) >= 300)
                begun = time.monotonic()
                assert 0 == producer.stop()
                took = time.monotonic() - begun
        assert producer.said("stopped")[-1]["rows"] > 0
        producer.start()
        producer.serve()
        producer.wait_until(lambda: "\nlastlogin_producer_spool_rows 0.0\n" in producer.get("/metrics")[1])

    assert took < 10
    found = read_topics(topics.kafka.bootstrap_servers[0], topics.events, topics.quarantine)
    assert [] == audit(load.account, found).gaps
