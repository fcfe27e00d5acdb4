"""How the consumer ends when it is told to."""

import asyncio
import os
import signal

from structlog.testing import capture_logs

from lastlogin_consumer.main import run
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_service.settings import load
from tests.support.process import wait_until


async def test_sigterm_during_the_start_is_a_stop(unused_tcp_port: int) -> None:
    """Whatever it waits for, here Kafka, it ends without an error and says that it has stopped, with nothing left."""
    variables = {
        "LASTLOGIN_CONSUMER_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{unused_tcp_port}",
        "LASTLOGIN_CONSUMER_CASSANDRA__CONTACT_POINTS": "127.0.0.1",
        "LASTLOGIN_CONSUMER_METRICS__PORT": "0",
    }
    with capture_logs() as said:
        running = asyncio.create_task(run(load(ConsumerSettings, None, variables)))
        await asyncio.to_thread(wait_until, lambda: "kafka_failing" in [line["action"] for line in said])
        os.kill(os.getpid(), signal.SIGTERM)
        await running

    assert ["stop", "stopped"] == [line["action"] for line in said][-2:]
    assert 0 == said[-1]["unfinished"]
