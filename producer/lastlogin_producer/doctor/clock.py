"""This host's clock against that of the brokers: the consumer refuses logins that are from the future for Kafka.

Kafka tells nobody its time. But after the round trip the doctor's own record is on the topic, under the append time
of its partition's leader, and the offset of the first record from a time on may be asked with the right Describe
alone. Asked about a few times around the round trip, the answers say how far the newest record's time is from ours.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from lastlogin_service.doctor.report import Line, error, ok, warning
from lastlogin_service.kafka import KafkaSettings, client_options


_CHECK = "clock"
_DEADLINE_S = 3.0
# Enough for two hosts that both have NTP; the consumer's future_limit_s.
_NOTICEABLE_S = 1.0
_WRONG_S = 300.0

_DO = "look at NTP (chronyc tracking, timedatectl) on this host and on the brokers"


def judge_alone(kept: bool | None) -> Line:  # noqa: FBT001 - it is what the line is about
    """Say what can be said without Kafka."""
    if kept is False:
        return warning(_CHECK, "not synchronised, says the kernel; not compared with Kafka's", _DO)
    return ok(_CHECK, f"{'synchronised, says the kernel; ' * bool(kept)}not compared with Kafka's")


async def compare(kafka: KafkaSettings, topic: str, span_s: tuple[float, float], *, kept: bool | None) -> Line:
    """Compare with the brokers; the doctor's record was appended within `span_s` (seconds since 1970, our clock)."""
    consumer = AIOKafkaConsumer(**client_options(kafka, "lastlogin-doctor"), enable_auto_commit=False)
    try:
        async with asyncio.timeout(_DEADLINE_S):
            await consumer.start()
            partitions = await consumer._client._wait_on_metadata(topic)  # noqa: SLF001 - the topic is not subscribed to
            everywhere = [TopicPartition(topic, number) for number in partitions]

            async def newer_than(at_s: float) -> bool:
                found = await consumer.offsets_for_times(dict.fromkeys(everywhere, int(at_s * 1000)))
                return any(offset is not None for offset in found.values())

            return await judge(newer_than, span_s, kept=kept)
    except (KafkaError, TimeoutError, OSError) as why:
        alone = judge_alone(kept)
        return Line(alone.check, alone.level, f"{alone.found} ({type(why).__name__})", alone.do)
    finally:
        await consumer.stop()


async def judge(
    newer_than: Callable[[float], Awaitable[bool]], span_s: tuple[float, float], *, kept: bool | None
) -> Line:
    """Find out by `newer_than(time)` (is there a record from then on?) how far the brokers are from us."""
    began_at, ended_at = span_s
    for limit, level in ((_WRONG_S, error), (_NOTICEABLE_S, warning)):
        if await newer_than(ended_at + limit):
            return level(_CHECK, f"more than {limit:g} s behind Kafka's", _DO)
        if not await newer_than(began_at - limit):
            found = f"more than {limit:g} s ahead of Kafka's"
            return level(_CHECK, found + ": its logins are refused as future" * (limit == _WRONG_S), _DO)
    note = "; not synchronised, says the kernel" * (kept is False)
    return ok(_CHECK, f"within {_NOTICEABLE_S:g} s of Kafka's{note}")
