"""Three brokers and three nodes, started once per run; each test finds all of them running and in step."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lastlogin_stack.commands import BROKERS, NODES
from lastlogin_stack.layout import Layout
from tests.support.cluster import Cluster
from tests.support.ring import Ring
from tests.support.servers import started


@pytest.fixture(scope="session")
def brokers(layout: Layout, alone: None) -> Iterator[Layout]:
    """The three brokers, with our topics."""
    with started(layout, *BROKERS):
        yield layout


@pytest.fixture(scope="session")
def nodes(brokers: Layout) -> Iterator[Layout]:
    """The three nodes as well, with the table."""
    with started(brokers, *NODES):
        yield brokers


@pytest.fixture
def cluster(brokers: Layout) -> Iterator[Cluster]:
    """The brokers, for killing and stopping; all of them run again afterwards."""
    cluster = Cluster(brokers)
    try:
        yield cluster
    finally:
        cluster.start()


@pytest.fixture
def ring(nodes: Layout) -> Iterator[Ring]:
    """The nodes, for killing and stopping; all of them run again afterwards."""
    ring = Ring(nodes)
    try:
        yield ring
    finally:
        ring.start()


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A producer's directory, with a path short enough for its socket."""
    return tmp_path_factory.mktemp("p")
