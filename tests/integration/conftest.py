"""Real servers that a test may stop, and what several modules ask of them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from lastlogin_producer.server import ServerLimits
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.audited import Audited, audited
from tests.support.gate import Gate
from tests.support.publisher import OutTopics, made_topics
from tests.support.running_server import Running, Serve
from tests.support.secured_kafka import SecuredKafka, secured_kafka


@pytest.fixture(scope="session")
def kafka_with_rights(layout: Layout) -> Iterator[SecuredKafka]:
    """A broker with logins, TLS and rights."""
    with secured_kafka(layout) as kafka:
        yield kafka


@pytest.fixture
def world(stack: Layout) -> Iterator[Audited]:
    """Topics, table and group of one test."""
    with audited(stack) as world:
        yield world


@pytest.fixture
def cassandra_gate(stack: Layout) -> Iterator[Gate]:
    """The way to Cassandra, for shutting: what a client sees of its end, without the time of a new start."""
    with Gate(stack.cassandra_port) as gate:
        yield gate


@pytest.fixture
def kafka(stack: Layout) -> Iterator[Kafka]:
    """Kafka, for stopping; it runs again afterwards."""
    server = Kafka(stack)
    yield server
    server.start()
    server.wait_ready()


@pytest.fixture
def rows(stack: Layout) -> Iterator[StatsTable]:
    """The table, and a session."""
    with StatsTable(stack) as table:
        yield table


@pytest.fixture
def topics(stack: Layout) -> Iterator[OutTopics]:
    """What a producer publishes to, for one test alone; whoever tests a consumer has topics of another kind."""
    with made_topics(stack) as topics:
        yield topics


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Serve:
    """Run a scenario against a server, on either loop."""

    def run(scenario: Callable[[Running], Awaitable[None]]) -> None:
        async def main() -> None:
            running = Running(tmp_path / "dict.sock", ServerLimits())
            await running.server.start()
            try:
                await scenario(running)
            finally:
                await running.server.stop_accepting()
                await running.server.drain(0)

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main())

    return run
