"""Kafka and Cassandra, with topics, a table and a stream of logins of each test's own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from lastlogin_stack.layout import Layout
from tests.support.consumer import ConsumerProcess, short_lived_member
from tests.support.login_stream import LoginStream
from tests.support.own_table import OwnTable, own_table
from tests.support.scale import seeded
from tests.support.topics import Topics, own_topics


@pytest.fixture
def topics(stack: Layout) -> Iterator[Topics]:
    """Topics of one test."""
    with own_topics(stack, partitions=4) as topics:
        yield topics


@pytest.fixture
def table(stack: Layout) -> Iterator[OwnTable]:
    """A table of one test."""
    with own_table(stack) as table:
        yield table


@pytest.fixture
def rng(figures: Callable[[str], None]) -> Random:
    """Where random points come from; the seed is among the figures."""
    rng, seed = seeded()
    figures(f"seed {seed}")
    return rng


@pytest.fixture
def stream(topics: Topics, table: OwnTable, rng: Random) -> LoginStream:
    """Logins, when the test lets them flow."""
    return LoginStream(topics, table, rng)


@pytest.fixture
def member(stack: Layout, topics: Topics, table: OwnTable, tmp_path: Path) -> Iterator[Callable[..., ConsumerProcess]]:
    """Make members of one group, with settings; those that still run are killed afterwards."""
    made: list[ConsumerProcess] = []

    def make(**settings: str) -> ConsumerProcess:
        made.append(short_lived_member(stack, topics, tmp_path, CASSANDRA__TABLE=table.name, **settings))
        return made[-1]

    yield make
    for each in made:
        if each.running:
            each.kill()
