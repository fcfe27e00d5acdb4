"""The stages between the events topic and the table, made from settings: the same for all that write."""

from functools import partial
from random import SystemRandom

from lastlogin_consumer.breaker import Breaker
from lastlogin_consumer.decode import Decoder, MappedDecoder
from lastlogin_consumer.ends import SetAside
from lastlogin_consumer.metrics import ConsumerMetrics
from lastlogin_consumer.pipeline import Stages
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_consumer.table import open_table
from lastlogin_consumer.writer import SILENCE_S, Writer
from lastlogin_service.backoff import Backoff


# Cassandra back after an outage is noticed within this, and an outage costs no CPU worth the name.
_RETRY_FIRST_S = 0.1
_RETRY_CAP_S = 5.0


def backoff() -> Backoff:
    """Pauses between attempts."""
    return Backoff(_RETRY_FIRST_S, _RETRY_CAP_S, SystemRandom())


def writer_of(settings: ConsumerSettings, metrics: ConsumerMetrics) -> Writer:
    """Make what writes rows; `connect` and `close` are the caller's."""
    return Writer(
        settings.table,
        partial(open_table, settings.cassandra),
        backoff,
        metrics,
        # The driver itself gives a request up after the time-out, unless it is stuck.
        silence_s=max(SILENCE_S, 2 * settings.cassandra.request_timeout_s),
    )


def stages_of(
    settings: ConsumerSettings, writer: Writer, set_aside: SetAside, metrics: ConsumerMetrics, breaker: Breaker
) -> Stages:
    """Put together what pipelines have in common."""
    decoding = settings.schemas, settings.future_limit_s, settings.columns.address_type
    return Stages(
        settings.topics.events,
        Decoder(*decoding)
        if settings.unmapped == "skip"
        else MappedDecoder(*decoding, services=lambda: writer.services),
        writer,
        set_aside,
        settings.limits,
        backoff,
        metrics,
        ttl_s=settings.ttl_s,
        breaker=breaker,
    )
