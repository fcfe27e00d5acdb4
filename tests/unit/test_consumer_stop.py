"""What signals do to a consumer: it ends when it is told to, and reads the log's level again."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from lastlogin_consumer.main import run
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.logs import LIBRARIES
from lastlogin_service.settings import load
from tests.support.process import wait_until


Read = Callable[..., ConsumerSettings]


@pytest.fixture
def read(unused_tcp_port: int) -> Read:
    """Settings of a consumer without Kafka, and others beside."""
    without = {
        "LASTLOGIN_CONSUMER_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{unused_tcp_port}",
        "LASTLOGIN_CONSUMER_CASSANDRA__CONTACT_POINTS": "127.0.0.1",
        "LASTLOGIN_CONSUMER_METRICS__PORT": "0",
    }

    def read(**others: str) -> ConsumerSettings:
        variables = {f"LASTLOGIN_CONSUMER_{name}": value for name, value in others.items()}
        return load(ConsumerSettings, None, without | variables)

    return read


@pytest.fixture
def _levels() -> Iterator[None]:
    """Put the levels back."""
    loggers = [logging.getLogger(name) for name in ("", *LIBRARIES)]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


async def test_sigterm_during_the_start_is_a_stop(read: Read) -> None:
    """Whatever it waits for, here Kafka, it ends without an error and says that it has stopped, with nothing left."""
    with capture_logs() as said:
        running = asyncio.create_task(run(read(), read))
        await asyncio.to_thread(wait_until, lambda: "kafka_failing" in [line["action"] for line in said])
        os.kill(os.getpid(), signal.SIGTERM)
        await running

    assert ["stop", "stopped"] == [line["action"] for line in said][-2:]
    assert 0 == said[-1]["unfinished"]


@pytest.mark.usefixtures("_levels")
async def test_sighup_reads_the_level_again(read: Read) -> None:
    """The level changes at once, also while it starts; other keys wait for a restart; a bad file changes nothing."""

    async def hang_up_until(action: str) -> None:
        before = len(said)
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.to_thread(wait_until, lambda: action in [line["action"] for line in said[before:]])

    def refused() -> ConsumerSettings:
        raise Exit(CONFIG, "one\ntwo")

    files = iter((lambda: read(LOG__LEVEL="debug"), refused, lambda: read(LINGER_S="5", WINDOW__MAX_RECORDS="7")))

    def reread() -> ConsumerSettings:
        return next(files)()

    with capture_logs() as said:
        running = asyncio.create_task(run(read(), reread))
        await asyncio.to_thread(wait_until, lambda: "kafka_failing" in [line["action"] for line in said])

        await hang_up_until("reloaded")
        assert logging.DEBUG == logging.getLogger().level
        await hang_up_until("reload_refused")
        assert logging.DEBUG == logging.getLogger().level
        await hang_up_until("restart_needed")
        assert logging.INFO == logging.getLogger().level
        os.kill(os.getpid(), signal.SIGTERM)
        await running

    assert ["debug", "info"] == [line["lowest_level"] for line in said if line["action"] == "reloaded"]
    told = [line["event"] for line in said if line["action"] == "reload_refused"]
    assert ["Not reloaded, everything stays as it is: one", "Not reloaded, everything stays as it is: two"] == told
    assert ["linger_s", "window.max_records"] == [line["key"] for line in said if line["action"] == "restart_needed"]


async def test_a_defect_beside_the_work_ends_it(read: Read) -> None:
    """Who could no longer be told to read again does not go on without that."""

    def broken() -> ConsumerSettings:
        raise ZeroDivisionError

    with capture_logs() as said:
        running = asyncio.create_task(run(read(), broken))
        await asyncio.to_thread(wait_until, lambda: "kafka_failing" in [line["action"] for line in said])
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(running, 20)
