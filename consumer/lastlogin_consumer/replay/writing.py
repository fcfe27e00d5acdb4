"""Stretches through the consumer's own pipelines into the table."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from lastlogin_consumer.decode import Poison
from lastlogin_consumer.outage import Outage
from lastlogin_consumer.pipeline import PartitionPipeline, Stages
from lastlogin_consumer.replay.stretch_log import StretchLog
from lastlogin_service.places import Place
from lastlogin_service.tasks import cancel


# How long the last records of a stretch wait for others to be merged with. Freshness does not matter, nor does the
# service's linger_s, which may be an hour.
_LINGER_S = 0.2
# Places are for a person to read.
_PLACES = 20


class LeftOut:
    """Records of no use in the place of the dead letters, where they are already; keeps where refused ones stand."""

    sentence = "A record of no use was left out; the consumer sets such records aside"

    def __init__(self) -> None:
        self.refused: list[Place] = []

    async def send(self, poison: Sequence[Poison]) -> None:
        """Take note of them."""
        for each in poison:
            if each.reason == "refused" and len(self.refused) < _PLACES:
                self.refused.append(Place(each.record.partition, each.record.offset))


async def write_all(logs: Sequence[StretchLog], stages: Stages) -> None:
    """Return when all is written, however long that takes. May be cancelled. Raises `Exit` and KafkaError.

    How far it is, the watermarks tell.
    """
    limits = replace(stages.limits.share(len(logs)), linger_s=_LINGER_S)
    pipelines = [PartitionPipeline(log, stages, limits) for log in logs]
    for log, pipeline in zip(logs, pipelines, strict=True):
        # Not at once: the pipeline itself calls it, from within a step that it is to end first.
        log.ended = partial(asyncio.get_running_loop().call_soon, pipeline.stop_intake)
    outage = Outage(
        lambda: any(each.unanswered and not log.is_done for log, each in zip(logs, pipelines, strict=True)),
        lambda: "it does not answer",
    )
    watching = asyncio.create_task(outage.run())
    tasks = [asyncio.create_task(pipeline.run()) for pipeline in pipelines]
    try:
        await asyncio.gather(*tasks)
    finally:
        await cancel([watching, *tasks])
