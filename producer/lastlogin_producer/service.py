"""The producer as a whole: what is started, in which order, and how it ends."""

import asyncio
import os
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from importlib.metadata import version
from typing import Any

from lastlogin_producer.clock import WatchedClock
from lastlogin_producer.events import EventRules
from lastlogin_producer.health import Health
from lastlogin_producer.listener import Listener, listener_of
from lastlogin_producer.metrics import PREFIX, ProducerMetrics, Sources
from lastlogin_producer.outbox import Outbox
from lastlogin_producer.reload import reload_rules
from lastlogin_producer.server import DictServer, ServerLimits
from lastlogin_producer.settings import ProducerSettings
from lastlogin_service import logs
from lastlogin_service.endpoint import Endpoint, ProcessMetrics, new_registry
from lastlogin_service.notify import Notifier, beat
from lastlogin_service.signals import hangup_event, stop_event
from lastlogin_service.tasks import cancel, unless


NAME = "lastlogin-producer"

# While a socket that outlives us takes logins on, a stop gives Kafka this long for what waits: the next start goes on.
_PARTING_S = 1.0
# Of the time that a stop may take, as much as leaving Kafka, the spool and the endpoint needs.
_CLOSING_S = 2.0


def run(settings: ProducerSettings, reread: Callable[[], ProducerSettings]) -> Coroutine[Any, Any, None]:
    """Take logins on until SIGTERM; after SIGHUP by the rules of what `reread` gives.

    Forks, so call it before there is an event loop; what it returns is for one. That raises `Exit`; anything else it
    raises is a defect.
    """
    return _serve(settings, reread, Outbox.fork(settings))


async def _serve(settings: ProducerSettings, reread: Callable[[], ProducerSettings], outbox: Outbox) -> None:
    """Serve.

    The spool comes first, for its lock keeps a second producer away from the socket; then metrics, which tell of all
    that follows; Kafka is not waited for; the socket comes last, when whoever connects can be answered.
    """
    async with stop_event() as stop, hangup_event() as hangup:
        # To save a damaged spool takes a minute, and a disk may hang.
        if not await unless(stop, outbox.open()):
            # Nothing was taken on, and the outbox ends with this process.
            return
        loop, notifier, deadline_s = asyncio.get_running_loop(), Notifier(os.environ), settings.shutdown.deadline_s
        listener = listener_of(settings.socket, os.environ)
        clock = WatchedClock()
        server = _dict_server(settings, outbox, listener, clock)

        def set_level(level: str) -> None:
            logs.set_level(level)
            outbox.set_log_level(level)

        tasks = {
            asyncio.create_task(outbox.run(), name="watch over the outbox"),
            asyncio.create_task(server.watch(), name="watch over the socket file"),
            asyncio.create_task(
                reload_rules(
                    hangup, settings, reread, outbox.backend, server.use, set_level=set_level, notifier=notifier
                ),
                name="reload on SIGHUP",
            ),
        }
        health = Health(outbox, server, tasks)
        registry = new_registry(PREFIX, version("lastlogin"))
        ProducerMetrics(registry, _sources(settings, outbox, server, clock, health))
        ProcessMetrics(f"{PREFIX}_outbox", pid=lambda: outbox.pid, registry=registry)
        if notifier.heard:
            status = partial(_status, outbox, health)
            tasks.add(asyncio.create_task(beat(notifier, health.live, status), name="watchdog"))
        endpoint = Endpoint(
            settings.metrics, NAME, registry, live=health.live, ready=health.ready, refresh=outbox.refresh
        )
        try:
            await endpoint.start()
            await server.start()
            notifier.ready()
            try:
                await _first_end(outbox, tasks, stop)
            finally:
                notifier.stopping()
                ends_at = loop.time() + deadline_s - min(_CLOSING_S, deadline_s / 2)
                if listener.outlives and stop.is_set():
                    await outbox.drain(min(_PARTING_S, ends_at - loop.time()))
                await server.stop_accepting()
                await server.drain(max(0.0, ends_at - loop.time()))
            if not listener.outlives:
                await outbox.drain(max(0.0, ends_at - loop.time()))
            if outbox.failed.done():
                raise outbox.failed.result()
        finally:
            await cancel(tasks)
            await outbox.close()
            await endpoint.stop()
            notifier.close()


async def _first_end(outbox: Outbox, tasks: Collection[asyncio.Task[Any]], stop: asyncio.Event) -> None:
    """Return when `stop` is set. Raises the `Exit` with which the outbox fails, and whatever ends one of `tasks`."""
    stopping = asyncio.create_task(stop.wait())
    ends: set[asyncio.Future[Any]] = {stopping, outbox.failed, *tasks}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    if outbox.failed.done():
        raise outbox.failed.result()
    for task in tasks:
        if task.done():
            await task
            raise RuntimeError(f"{task.get_name()} has ended")


def _status(outbox: Outbox, health: Health) -> str:
    """One line for people who ask the service manager."""
    wrong = [*health.live(), *health.ready()]
    return "; ".join([*wrong, f"{outbox.state.spool.rows} messages wait for Kafka"])


def _dict_server(settings: ProducerSettings, outbox: Outbox, listener: Listener, clock: WatchedClock) -> DictServer:
    return DictServer(
        listener,
        EventRules.of(settings, outbox.backend),
        outbox,
        ServerLimits(connections=settings.socket.max_connections),
        allowed_uids=settings.socket.allowed_uids,
        now_us=clock,
    )


def _sources(
    settings: ProducerSettings, outbox: Outbox, server: DictServer, clock: WatchedClock, health: Health
) -> Sources:
    return Sources(
        server=server.stats,
        connections=lambda: server.connections,
        clock=clock,
        outbox=lambda: outbox.state,
        limits=settings.spool,
        topics=settings.topics,
        ready=lambda: not (health.live() or health.ready()),
    )
