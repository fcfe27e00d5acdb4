"""A Cassandra that loses rows which it had acknowledged: its commit log is on disk a moment later, as by default."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import pytest

from lastlogin_stack.cassandra import PERIODIC, Cassandra
from lastlogin_stack.layout import Layout
from tests.support.audited import Audited, audited, details
from tests.support.command import service
from tests.support.consumer import ConsumerProcess, consumer_variables
from tests.support.process import wait_until


# What is lost are the rows of less than 0.1 s, and may be none.
KILLS = 5


@pytest.fixture(scope="module")
def forgetful(stack: Layout) -> Iterator[Cassandra]:
    """Cassandra with the commit log of its defaults; afterwards with that of the other tests."""
    plain, forgetful = Cassandra(stack), Cassandra(stack, commit_log=PERIODIC)
    for stopped, started in ((plain, forgetful), (forgetful, plain)):
        stopped.stop()
        started.start()
        started.wait_ready()
        if started is forgetful:
            yield forgetful


@pytest.fixture
def world(stack: Layout, forgetful: Cassandra) -> Iterator[Audited]:
    """Topics, table and group of one test."""
    with audited(stack) as world:
        yield world


@contextmanager
def _logins(world: Audited) -> Iterator[None]:
    """Some hundred logins a second, each of another user, while the block runs."""
    ended = Event()

    def log_in() -> None:
        while not ended.wait(0.01):
            world.topics.publish(*(world.login(uuid4().hex) for _ in range(10)))

    thread = Thread(target=log_in)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.timeout(400)
def test_acknowledged_rows_that_cassandra_lost(
    stack: Layout, world: Audited, forgetful: Cassandra, tmp_path: Path, figures: Callable[[str], None]
) -> None:
    """After kill -9 the audit names the rows that are gone though they are committed; a replay mends all of it."""
    table = {"CASSANDRA__TABLE": world.table.name}
    with ConsumerProcess(stack, world.topics, tmp_path, LINGER_S="0.01", **table) as consumer:
        consumer.wait_for("assigned")
        for _ in range(KILLS):
            with _logins(world):
                written = consumer.scrape()["rows_written_total"]
                wait_until(lambda n=written: consumer.scrape()["rows_written_total"] > n + 500)  # type: ignore[misc]
                forgetful.kill()
            forgetful.start()
            forgetful.wait_ready()
            wait_until(lambda: world.topics.lag(consumer.group) == 0, 90)
            if world.run().code:
                break
        assert 0 == consumer.stop()

    found = world.found(1)
    begun = time.monotonic()
    replayed = service(
        "lastlogin-consumer",
        "replay",
        "--since",
        "1h",
        **consumer_variables(stack, world.topics),
        **table,
    )
    took_s = time.monotonic() - begun
    assert 0 == replayed.code, replayed
    mended = world.found(0)
    figures(
        f"{found['rows']['wrong']['missing']} of {found['events']['records']} acknowledged rows lost; "
        f"replayed within {took_s:.1f} s"
    )

    assert found["wrong"] == found["rows"]["wrong"]["missing"]
    assert {"missing"} == {verdict for verdict, _, _ in details(found)}
    assert mended["rows"]["right"] == mended["events"]["records"] == found["events"]["records"]
