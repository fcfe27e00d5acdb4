"""The producer as a whole: what is started, in which order, and how it ends."""

import asyncio
import time
from contextlib import suppress
from importlib.metadata import version
from random import Random
from typing import Any

import structlog

from lastlogin_producer.events import EventRules
from lastlogin_producer.health import Health
from lastlogin_producer.listener import Listener, SocketFile
from lastlogin_producer.metrics import PREFIX, ProducerMetrics, Sources, SpoolLevels
from lastlogin_producer.oldest import OldestWaiting
from lastlogin_producer.publisher import Publisher
from lastlogin_producer.server import DictServer, ServerLimits
from lastlogin_producer.settings import ProducerSettings
from lastlogin_producer.spool import Spool
from lastlogin_service.endpoint import Endpoint, new_registry
from lastlogin_service.signals import stop_event


NAME = "lastlogin-producer"

_log = structlog.get_logger(__name__)


async def run(settings: ProducerSettings) -> None:
    """Take logins on until SIGTERM. Raises `Exit`; anything else it raises is a defect.

    The spool comes first, for its lock keeps a second producer away from the socket; then metrics, which tell of all
    that follows; Kafka is not waited for; the socket comes last, when whoever connects can be answered.
    """
    async with stop_event() as stop:
        spool = Spool(settings.spool, settings.backend, _now_us)
        _log.info(
            f"Spool open; {spool.rows_waiting} messages wait for Kafka",
            action="spool_open",
            backend=spool.backend,
            epoch=spool.epoch,
            rows=spool.rows_waiting,
        )
        publisher = Publisher(spool, settings.kafka, settings.topics, settings.publisher, Random())  # noqa: S311 - jitter
        server = _dict_server(settings, spool)
        oldest = OldestWaiting(spool, _now_us)
        publishing = asyncio.create_task(publisher.run())
        tasks = {publishing, asyncio.create_task(oldest.run())}
        registry = new_registry(PREFIX, version("lastlogin"))
        ProducerMetrics(registry, _sources(settings, spool, server, publisher, oldest))
        health = Health(spool, server, publishing)
        endpoint = Endpoint(settings.metrics, NAME, registry, live=health.live, ready=health.ready)
        try:
            await endpoint.start()
            deadline = await _serve(settings, server, spool, publishing, stop)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await publisher.drain()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            left = spool.rows_waiting
            await spool.close()
            await endpoint.stop()
            _log.info(f"Stopped; {left} messages wait in the spool for the next start", action="stopped", rows=left)


async def _serve(
    settings: ProducerSettings, server: DictServer, spool: Spool, publishing: asyncio.Task[None], stop: asyncio.Event
) -> float:
    """Serve until `stop` is set; return the loop's time at which everything must have ended.

    Raises the `Exit` with which the spool fails, and whatever ends `publishing`.
    """
    loop = asyncio.get_running_loop()
    await server.start()
    stopping = asyncio.create_task(stop.wait())
    ends: set[asyncio.Future[Any]] = {stopping, spool.failed, publishing}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if spool.failed.done():
            raise spool.failed.result()
        if publishing.done():
            await publishing
    finally:
        stopping.cancel()
        deadline = loop.time() + settings.shutdown.deadline_s
        await server.stop_accepting()
        await server.drain(settings.shutdown.deadline_s)
    return deadline


def _dict_server(settings: ProducerSettings, spool: Spool) -> DictServer:
    return DictServer(
        Listener(SocketFile.of(settings.socket)),
        settings.dicts.names,
        EventRules(spool.backend, settings.dicts.key_patterns, settings.dicts.default_service),
        spool,
        ServerLimits(connections=settings.socket.max_connections),
        now_us=_now_us,
    )


def _sources(
    settings: ProducerSettings, spool: Spool, server: DictServer, publisher: Publisher, oldest: OldestWaiting
) -> Sources:
    return Sources(
        server=server.stats,
        connections=lambda: server.connections,
        publishing=publisher.stats,
        spool=lambda: SpoolLevels(spool.rows_waiting, spool.bytes_waiting, oldest.age_s, spool.damaged_rows),
        limits=settings.spool,
        topics=settings.topics,
    )


def _now_us() -> int:
    return time.time_ns() // 1_000
