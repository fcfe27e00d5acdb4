"""Real servers that a test may stop, and what several modules ask of them."""

from collections.abc import Iterator

import pytest

from lastlogin_stack.cassandra import Cassandra
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable


@pytest.fixture
def cassandra(stack: Layout) -> Iterator[Cassandra]:
    """Cassandra, for stopping; it runs again afterwards."""
    server = Cassandra(stack)
    yield server
    server.start()
    server.wait_ready()


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
