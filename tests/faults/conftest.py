"""Kafka alone, for no case of the producer needs a table; a place that mail processes may enter; the figures."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import Layout
from tests.support.activation import ActivatedProducer
from tests.support.backend import Backend, kafka_settings
from tests.support.ledger import Ledger
from tests.support.polite import PoliteKafka, resume
from tests.support.producer import ProducerProcess
from tests.support.publisher import OutTopics, made_topics
from tests.support.scale import SOAK
from tests.support.servers import started


_figures = pytest.StashKey[list[str]]()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say something that is shown at the end of the run, whatever becomes of the test."""
    lines = request.config.stash.setdefault(_figures, [])
    name = request.node.name
    return lambda line: lines.append(f"{name}: {line}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the figures."""
    if lines := config.stash.get(_figures, []):
        terminalreporter.section(f"figures ({'whole' if SOAK else 'scaled down'})")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def broker(layout: Layout, alone: None) -> Iterator[Kafka]:
    """Kafka; whether it runs is up to the tests."""
    with started(layout, "kafka"):
        yield PoliteKafka(layout)


@pytest.fixture
def kafka(broker: Kafka) -> Iterator[Kafka]:
    """Kafka, for stopping; it runs again afterwards."""
    _ensure(broker)
    yield broker
    _ensure(broker)


@pytest.fixture
def topics(layout: Layout, kafka: Kafka) -> Iterator[OutTopics]:
    """Topics of one test, made."""
    with made_topics(layout) as topics:
        yield topics
        _ensure(kafka)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short name that everybody may enter: mail processes have a user of their own."""
    directory = Path(tempfile.mkdtemp(prefix="ll-", dir="/var/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def backend(place: Path, layout: Layout, topics: OutTopics) -> Iterator[Backend]:
    """A producer as it runs by itself, serving."""
    # For the user that mail processes run as.
    settings = kafka_settings(layout, topics) | {"SOCKET__MODE": "0666"}
    yield from _backend(place, layout, topics, ProducerProcess(place, **settings))


@pytest.fixture
def activated(place: Path, layout: Layout, topics: OutTopics) -> Iterator[Backend]:
    """A producer whose listening socket outlives it, serving."""
    producer = ActivatedProducer(place, **kafka_settings(layout, topics))
    producer.socket.chmod(0o666)
    yield from _backend(place, layout, topics, producer)


def _backend(place: Path, layout: Layout, topics: OutTopics, producer: ProducerProcess) -> Iterator[Backend]:
    with producer, Ledger(place / "ledger") as ledger:
        producer.serve()
        yield Backend(place, layout, topics, producer, ledger)


def _ensure(kafka: Kafka) -> None:
    """Start it, or let it go on."""
    resume(kafka)
    kafka.start()
    kafka.wait_ready()
