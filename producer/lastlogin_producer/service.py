"""The producer as a whole: what is started, in which order, and how it ends."""

import asyncio
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from random import Random
from typing import Any

import structlog

from lastlogin_producer.clock import WatchedClock, now_us
from lastlogin_producer.control import Control, Status, resend
from lastlogin_producer.events import EventRules
from lastlogin_producer.health import Health
from lastlogin_producer.listener import Listener, listener_of
from lastlogin_producer.metrics import PREFIX, ProducerMetrics, Sources, SpoolLevels
from lastlogin_producer.oldest import OldestWaiting
from lastlogin_producer.publisher import Publisher
from lastlogin_producer.reload import reload_on_hangup
from lastlogin_producer.server import DictServer, ServerLimits
from lastlogin_producer.settings import ProducerSettings
from lastlogin_producer.spool import Spool
from lastlogin_service.endpoint import Endpoint, new_registry
from lastlogin_service.notify import Notifier, beat
from lastlogin_service.signals import hangup_event, stop_event
from lastlogin_service.tasks import cancel


NAME = "lastlogin-producer"

# While a socket that outlives us takes logins on, a stop gives Kafka this long for what waits: the next start goes on.
_PARTING_S = 1.0
# Of the time that a stop may take, as much as leaving Kafka, the spool and the endpoint needs.
_CLOSING_S = 2.0

_log = structlog.get_logger(__name__)


async def run(settings: ProducerSettings, reread: Callable[[], ProducerSettings]) -> None:
    """Take logins on until SIGTERM; after SIGHUP by the rules of what `reread` gives.

    Raises `Exit`; anything else it raises is a defect.

    The spool comes first, for its lock keeps a second producer away from the socket; then metrics, which tell of all
    that follows; Kafka is not waited for; the socket comes last, when whoever connects can be answered.
    """
    async with stop_event() as stop, hangup_event() as hangup:
        loop, notifier, deadline_s = asyncio.get_running_loop(), Notifier(os.environ), settings.shutdown.deadline_s
        spool = Spool(settings.spool, settings.backend, now_us)
        _log.info(
            f"Spool open; {spool.rows_waiting} messages wait for Kafka",
            action="spool_open",
            backend=spool.backend,
            epoch=spool.epoch,
            rows=spool.rows_waiting,
        )
        publisher = Publisher(spool, settings.kafka, settings.topics, settings.publisher, Random())  # noqa: S311 - jitter
        listener = listener_of(settings.socket, os.environ)
        clock = WatchedClock()
        server = _dict_server(settings, spool, listener, clock)
        oldest = OldestWaiting(spool, now_us)
        tasks = {
            asyncio.create_task(publisher.run(), name="publisher"),
            asyncio.create_task(oldest.run(), name="age of the oldest message"),
            asyncio.create_task(server.watch(), name="watch over the socket file"),
            asyncio.create_task(
                reload_on_hangup(hangup, settings, reread, spool.backend, server.use, notifier=notifier),
                name="reload on SIGHUP",
            ),
        }
        registry = new_registry(PREFIX, version("lastlogin"))
        ProducerMetrics(registry, _sources(settings, spool, server, publisher, oldest, clock=clock))
        health = Health(spool, server, tasks)
        if notifier.heard:
            status = partial(_status, spool, health)
            tasks.add(asyncio.create_task(beat(notifier, health.live, status), name="watchdog"))
        control = _control(settings, spool, publisher, oldest)
        endpoint = Endpoint(settings.metrics, NAME, registry, live=health.live, ready=health.ready)
        try:
            await endpoint.start()
            await control.start()
            await server.start()
            notifier.ready()
            try:
                await _first_end(spool, tasks, stop)
            finally:
                notifier.stopping()
                ends_at = loop.time() + deadline_s - min(_CLOSING_S, deadline_s / 2)
                if listener.outlives and stop.is_set():
                    await _drain(publisher, min(loop.time() + _PARTING_S, ends_at))
                await server.stop_accepting()
                await server.drain(max(0.0, ends_at - loop.time()))
            if not listener.outlives:
                await _drain(publisher, ends_at)
        finally:
            await control.stop()
            await cancel(tasks)
            left = spool.rows_waiting
            await spool.close()
            await endpoint.stop()
            _log.info(f"Stopped; {left} messages wait in the spool for the next start", action="stopped", rows=left)


async def _first_end(spool: Spool, tasks: Collection[asyncio.Task[Any]], stop: asyncio.Event) -> None:
    """Return when `stop` is set. Raises the `Exit` with which the spool fails, and whatever ends one of `tasks`."""
    stopping = asyncio.create_task(stop.wait())
    ends: set[asyncio.Future[Any]] = {stopping, spool.failed, *tasks}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    if spool.failed.done():
        raise spool.failed.result()
    for task in tasks:
        if task.done():
            await task
            raise RuntimeError(f"{task.get_name()} has ended")


async def _drain(publisher: Publisher, until: float) -> None:
    """Wait until Kafka has everything, at most until that time of the loop."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await publisher.drain()


def _status(spool: Spool, health: Health) -> str:
    """One line for people who ask the service manager."""
    wrong = [*health.live(), *health.ready()]
    return "; ".join([*wrong, f"{spool.rows_waiting} messages wait for Kafka"])


def _dict_server(settings: ProducerSettings, spool: Spool, listener: Listener, clock: WatchedClock) -> DictServer:
    return DictServer(
        listener,
        EventRules.of(settings, spool.backend),
        spool,
        ServerLimits(connections=settings.socket.max_connections),
        allowed_uids=settings.socket.allowed_uids,
        now_us=clock,
    )


def _control(settings: ProducerSettings, spool: Spool, publisher: Publisher, oldest: OldestWaiting) -> Control:
    def status() -> Status:
        return Status(
            rows_waiting=spool.rows_waiting,
            bytes_waiting=spool.bytes_waiting,
            oldest_age_s=oldest.age_s,
            rows_kept=spool.rows_kept,
            set_aside=sum(spool.rows_set_aside.values()),
            published=publisher.stats.published.total(),
            kafka_away=publisher.away,
        )

    return Control(settings.spool.directory, status, lambda since_us: resend(spool, since_us))


def _sources(
    settings: ProducerSettings,
    spool: Spool,
    server: DictServer,
    publisher: Publisher,
    oldest: OldestWaiting,
    *,
    clock: WatchedClock,
) -> Sources:
    return Sources(
        server=server.stats,
        connections=lambda: server.connections,
        clock=clock,
        publishing=publisher.stats,
        spool=lambda: SpoolLevels(
            spool.rows_waiting,
            spool.bytes_waiting,
            oldest.age_s,
            spool.rows_kept,
            spool.bytes_kept,
            spool.rows_set_aside,
            spool.rows_resent,
        ),
        limits=settings.spool,
        topics=settings.topics,
    )
