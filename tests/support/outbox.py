"""The outbox, as tests drive it."""

from pathlib import Path

from lastlogin_producer.settings import ProducerSettings, SpoolSettings
from lastlogin_service.kafka import KafkaSettings
from tests.support.spool import BACKEND


def producer_settings(directory: Path, *, max_rows: int = 1_000_000) -> ProducerSettings:
    """Settings with a spool in `directory`; Kafka is nowhere: nobody listens on the discard port."""
    return ProducerSettings(
        backend=BACKEND,
        spool=SpoolSettings(directory=directory, max_rows=max_rows),
        kafka=KafkaSettings(bootstrap_servers=["127.0.0.1:9"]),
    )
