"""What runs in the outbox's process: the spool, the way to Kafka, and who may ask about them."""

import asyncio
import ctypes
import os
import signal
import socket
import sys
import traceback
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import structlog
import uvloop

from lastlogin_producer.clock import now_us
from lastlogin_producer.control import Control, Status, resend
from lastlogin_producer.oldest import OldestWaiting
from lastlogin_producer.outbox.health import SpoolHealth
from lastlogin_producer.outbox.port import Port
from lastlogin_producer.outbox.state import SpoolLevels, State
from lastlogin_producer.publish_stats import PublishStats
from lastlogin_producer.publisher import Publisher
from lastlogin_producer.settings import ProducerSettings
from lastlogin_producer.spool import Spool
from lastlogin_service.exits import SOFTWARE, TEMPFAIL, Exit
from lastlogin_service.tasks import cancel


# As `ps` shows it; 15 bytes at most (proc_pid_comm(5)).
_COMMAND = "producer-outbox"
# What a service manager or a terminal sends to both processes; the serving one tells us what to do.
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Of prctl(2).
_PR_SET_PDEATHSIG = 1
_FIRST_DESCRIPTOR, _LAST_DESCRIPTOR = 3, 1_048_576

_log = structlog.get_logger(__name__)


def run(settings: ProducerSettings, connection: socket.socket, parent: int) -> NoReturn:
    """Be the outbox of process `parent` at the other end of `connection`, until told to close, or until it ends."""
    code = SOFTWARE
    try:
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
        _end_with(parent)
        # Above all the listening socket that a service manager gave: it must not outlive the process that serves it.
        os.closerange(_FIRST_DESCRIPTOR, connection.fileno())
        os.closerange(connection.fileno() + 1, _LAST_DESCRIPTOR)
        with suppress(OSError):
            Path("/proc/self/comm").write_text(_COMMAND, encoding="ascii")
        connection.setblocking(False)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, connection))
        code = 0
    except BaseException as error:  # noqa: BLE001 - what is above in the stack belongs to the other process
        # The plain traceback: others show the values of local variables, passwords among them.
        sys.stderr.write("".join(traceback.format_exception(error)))
    finally:
        # Whoever reads them may be gone.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _end_with(parent: int) -> None:
    """Have the kernel end this process with the other one, also while it opens a spool and hears nothing."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(TEMPFAIL)


async def _serve(settings: ProducerSettings, connection: socket.socket) -> None:
    port = Port()
    await asyncio.get_running_loop().connect_accepted_socket(lambda: port, connection)
    try:
        await _keep_and_publish(settings, port)
    except Exit as end:
        port.fail(end)
        await port.closing.wait()
    except Exception as error:  # noqa: BLE001 - it is reported, and the producer must hear of it
        port.fail(_defect("the outbox", error))
        await port.closing.wait()
    port.close()


async def _keep_and_publish(settings: ProducerSettings, port: Port) -> None:
    """Do it until told to close. Raises `Exit` when the spool cannot be opened."""
    spool = Spool(settings.spool, settings.backend, now_us)
    _log.info(
        f"Spool open; {spool.rows_waiting} messages wait for Kafka",
        action="spool_open",
        backend=spool.backend,
        epoch=spool.epoch,
        rows=spool.rows_waiting,
    )
    publisher = Publisher(spool, settings.kafka, settings.topics, settings.publisher, Random())  # noqa: S311 - jitter
    oldest = OldestWaiting(spool, now_us)
    tasks = {
        asyncio.create_task(publisher.run(), name="publisher"),
        asyncio.create_task(oldest.run(), name="age of the oldest message"),
    }
    status = partial(_status, spool, publisher, oldest)
    control = Control(settings.spool.directory, status, lambda since_us: resend(spool, since_us))
    try:
        await control.start()
        port.open(spool, publisher, partial(_state, spool, publisher, oldest, SpoolHealth(spool, tasks)))
        if (end := await _early_end(spool, tasks, port.closing)) is not None:
            port.fail(end)
            # Who has asked until now is answered.
            await port.closing.wait()
    finally:
        await control.stop()
        await cancel(tasks)
        left = spool.rows_waiting
        await spool.close()
        _log.info(f"Stopped; {left} messages wait in the spool for the next start", action="stopped", rows=left)


async def _early_end(spool: Spool, tasks: Collection[asyncio.Task[Any]], closing: asyncio.Event) -> Exit | None:
    """Wait until told to close, or until the producer has to end for another reason, and return that."""
    told = asyncio.create_task(closing.wait())
    ends: set[asyncio.Future[Any]] = {told, spool.failed, *tasks}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if spool.failed.done():
        return spool.failed.result()
    for task in tasks:
        if task.done():
            error = None if task.cancelled() else task.exception()
            return _defect(task.get_name(), error)
    return None


def _defect(part: str, error: BaseException | None) -> Exit:
    _log.critical("Ending because of a defect; please report these lines", action="defect", exc_info=error)
    return Exit(SOFTWARE, f"A part of the producer has ended: {part}")


def _status(spool: Spool, publisher: Publisher, oldest: OldestWaiting) -> Status:
    return Status(
        rows_waiting=spool.rows_waiting,
        bytes_waiting=spool.bytes_waiting,
        oldest_age_s=oldest.age_s,
        rows_kept=spool.rows_kept,
        set_aside=sum(spool.rows_set_aside.values()),
        published=publisher.stats.published.total(),
        kafka_away=publisher.away,
    )


def _state(spool: Spool, publisher: Publisher, oldest: OldestWaiting, health: SpoolHealth) -> State:
    levels = SpoolLevels(
        spool.rows_waiting,
        spool.bytes_waiting,
        oldest.age_s,
        spool.rows_kept,
        spool.bytes_kept,
        dict(spool.rows_set_aside),
        spool.rows_resent,
        spool.syncs,
    )
    stats = publisher.stats
    publishing = PublishStats(stats.published, stats.seconds, partial(int, stats.in_flight()))
    return State(levels, publishing, tuple(health.live()), tuple(health.ready()))
