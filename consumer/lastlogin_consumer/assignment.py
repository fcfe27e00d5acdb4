"""The pipelines of the partitions that are ours now."""

import asyncio
from collections.abc import Sequence

import structlog

from lastlogin_consumer.ends import Partition
from lastlogin_consumer.lag import Progress
from lastlogin_consumer.pipeline import PartitionPipeline, Stages
from lastlogin_service.tasks import cancel


_log = structlog.get_logger(__name__)


class Assignment:
    """Starts and ends pipelines; `source.Source` tells for which partitions.

    `failed` gets the first exception that a pipeline raised: a defect, after which the process must end, because
    its partition would stand still for ever.
    """

    def __init__(self, stages: Stages, revoke_deadline_s: float) -> None:
        self._stages = stages
        self._revoke_deadline_s = revoke_deadline_s
        self._pipelines: dict[asyncio.Task[None], PartitionPipeline] = {}
        self._closed = False
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def problem(self) -> str | None:
        """A sentence while Kafka answers for none of our partitions."""
        pipelines = self._pipelines.values()
        if pipelines and all(pipeline.unanswered for pipeline in pipelines):
            return "Kafka does not answer: how far the partitions are behind is as last known"
        return None

    @property
    def standstill_s(self) -> float:
        """Seconds for which one of them had work and did none of it."""
        return max((pipeline.standstill_s for pipeline in self._pipelines.values()), default=0.0)

    def standing_still(self, for_s: float) -> list[int]:
        """Numbers of the partitions that have had work for longer than `for_s` seconds and have done none of it."""
        return [each.number for each in self._pipelines.values() if each.standstill_s > for_s]

    def progress(self) -> dict[int, Progress]:
        """What is told of each partition that is ours."""
        return {pipeline.number: pipeline.progress() for pipeline in self._pipelines.values()}

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Start a pipeline for each partition; together they keep within the limits."""
        if self._closed or not partitions:
            return
        limits = self._stages.limits.share(len(partitions))
        for partition in partitions:
            pipeline = PartitionPipeline(partition, self._stages, limits)
            task = asyncio.create_task(pipeline.run(), name=f"partition {partition.number}")
            self._pipelines[task] = pipeline
            task.add_done_callback(self._ended)

    async def revoked(self) -> None:
        """Another member may get the partitions: finish what is in flight, as far as the others wait."""
        await self.finish(self._revoke_deadline_s)

    async def close(self, deadline_s: float) -> int:
        """Finish, and start no more pipelines; return the records left unwritten (and uncommitted).

        Raises what a pipeline has failed with.
        """
        self._closed = True
        left = await self.finish(deadline_s)
        if self.failed.done():
            self.failed.result()
        return left

    async def finish(self, deadline_s: float) -> int:
        """Stop intake, write what waits within the deadline, and end; return the records left unwritten."""
        running = dict(self._pipelines)
        for pipeline in running.values():
            pipeline.stop_intake()
        if not running:
            return 0
        _, late = await asyncio.wait(running, timeout=deadline_s)
        await cancel(late)
        if left := sum(running[task].waiting for task in late):
            _log.warning(
                "Not all records were written in time; they are read again by whoever has the partition next",
                action="unfinished",
                records=left,
                partitions=len(late),
            )
        return left

    async def abandon(self) -> None:
        """End at once; what waits stays unwritten and uncommitted."""
        self._closed = True
        await cancel(list(self._pipelines))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._pipelines.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            self.failed.set_exception(error)
