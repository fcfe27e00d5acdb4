"""Real servers, started once per run and only when a test asks for them.

The stack lives in `.stack/test`, away from that of `make demo`; LASTLOGIN_STACK_DIR and LASTLOGIN_STACK_PORT put it
elsewhere. Servers that already run there are used, and left running.
"""

import fcntl
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from lastlogin_stack.cassandra import Cassandra
from lastlogin_stack.dovecot import Dovecot, DovecotOptions
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import DIRECTORY_VARIABLE, Layout
from lastlogin_stack.readback import StatsTable
from lastlogin_stack.services import ConsumerService, ProducerService, create_topics_and_table
from tests.support.servers import Running, layout_of_tests, started
from tests.support.turns import turn


# Its assertions are those of the tests that call it, and are explained as theirs are.
pytest.register_assert_rewrite("tests.support.uses")

_QUICK_FIRST = ("unit", "contract", "integration", "e2e", "faults", "cluster")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what fails fastest first, and what is in a directory of its own, for the servers that it needs, last."""

    def place(item: pytest.Item) -> tuple[int, int]:
        parts = item.path.relative_to(Path(__file__).parent).parts
        return _QUICK_FIRST.index(parts[0]), len(parts)

    items.sort(key=place)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let two runs know of each other."""
    parser.addoption("--turns", type=Path, metavar="DIRECTORY", help="take turns with other runs that are given this")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Take turns with the tests of another run. The time limit of a test does not begin before."""
    directory: Path | None = item.config.getoption("turns")
    if directory is None:
        return (yield)
    with turn(directory, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(scope="session")
def layout() -> Layout:
    """Where the servers of this run live."""
    layout = layout_of_tests()
    layout.check()
    return layout


@pytest.fixture(scope="session")
def alone(layout: Layout) -> Iterator[None]:
    """No other test run uses these servers: two would stop each other's."""
    layout.directory.parent.mkdir(parents=True, exist_ok=True)
    lock = layout.directory.with_name(layout.directory.name + ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        pytest.exit(
            f"another test run uses the servers in {layout.directory}; wait for it, or set {DIRECTORY_VARIABLE}"
        )
    with lock:
        yield


@pytest.fixture(scope="session")
def stack(layout: Layout, alone: None) -> Iterator[Layout]:
    """Kafka and Cassandra, with our topics and an empty table."""
    with started(layout, "kafka", "cassandra"):
        create_topics_and_table(layout)
        with StatsTable(layout) as table:
            table.truncate()
        yield layout


@pytest.fixture(scope="session")
def servers(stack: Layout) -> Iterator[Running]:
    """The whole pipeline; which of it runs is up to the tests."""
    servers = Running(
        stack, Kafka(stack), Cassandra(stack), ProducerService(stack), ConsumerService(stack), Dovecot(stack)
    )
    yield servers
    if servers.dovecot.options != DovecotOptions():
        # It may have run before, and must then run on as it did.
        servers.ensure(DovecotOptions())


@pytest.fixture
def dovecot_options() -> DovecotOptions:
    """How Dovecot is configured: as in the manual. A module that wants it otherwise has a fixture of this name."""
    return DovecotOptions()


@pytest.fixture
def pipeline(servers: Running, dovecot_options: DovecotOptions) -> Layout:
    """Dovecot, producer, Kafka, consumer and Cassandra, all answering."""
    servers.ensure(dovecot_options)
    return servers.layout


@pytest.fixture
def table(pipeline: Layout) -> Iterator[StatsTable]:
    """The table that the consumer writes."""
    with StatsTable(pipeline) as table:
        yield table


@pytest.fixture
def cassandra(stack: Layout) -> Iterator[Cassandra]:
    """Cassandra, for stopping; it runs again afterwards."""
    server = Cassandra(stack)
    yield server
    server.start()
    server.wait_ready()
