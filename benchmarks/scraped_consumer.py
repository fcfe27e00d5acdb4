"""The consumer's endpoint with so many partitions assigned, for whoever scrapes it: `<port> <partitions>`.

Kafka and Cassandra are in memory; the registry, the pipelines and the endpoint are the consumer's own.
"""

import asyncio
import sys
from collections.abc import Sequence

import uvloop
from prometheus_client import PlatformCollector, ProcessCollector

from lastlogin_service.endpoint import Endpoint
from lastlogin_service.listening import EndpointSettings
from tests.support.bench import Bench
from tests.support.memory import MemoryPartition, Record


class _Quiet(MemoryPartition):
    """A partition that gives nothing for now, and has a lag to tell."""

    async def fetch(self, _position: int, _limit: int, _wait_s: float) -> Sequence[Record]:
        """Wait for ever."""
        await asyncio.Event().wait()
        return []

    async def end(self) -> int:
        """As of a topic that is in use."""
        return 1_234_567


async def _serve(port: int, partitions: int) -> None:
    bench = Bench()
    ProcessCollector(registry=bench.registry)
    PlatformCollector(registry=bench.registry)
    bench.assignment.assigned([_Quiet(bench.clock, number) for number in range(partitions)])
    endpoint = Endpoint(EndpointSettings(port=port), "consumer", bench.registry, live=list, ready=list)
    await endpoint.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
