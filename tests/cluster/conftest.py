"""Three Kafka brokers, started once per run; each test finds all of them running and in step."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastlogin_stack.commands import BROKERS, running_servers, start_pipeline, stop_servers, wipe
from lastlogin_stack.layout import DIRECTORY_VARIABLE, Layout
from tests.support.cluster import Cluster


@pytest.fixture(scope="session")
def brokers(layout: Layout) -> Iterator[Layout]:
    """The three, with our topics; for one run at a time."""
    layout.directory.parent.mkdir(parents=True, exist_ok=True)
    with layout.directory.with_name(layout.directory.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.exit(f"another test run uses the servers in {layout.directory}; set {DIRECTORY_VARIABLE}")
        before = running_servers(layout)
        if not before:
            wipe(layout)
        try:
            start_pipeline(layout, tuple(BROKERS))
            yield layout
        finally:
            stop_servers(layout, leaving=before)
            if not before:
                wipe(layout)


@pytest.fixture
def cluster(brokers: Layout) -> Iterator[Cluster]:
    """The brokers, for killing and stopping; all of them run again afterwards."""
    cluster = Cluster(brokers)
    try:
        yield cluster
    finally:
        cluster.start()


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A producer's directory, with a path short enough for its socket."""
    return tmp_path_factory.mktemp("p")
