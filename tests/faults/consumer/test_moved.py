"""Case 35: Cassandra comes back at another of the addresses that the consumer knows."""

import time
from collections.abc import Callable, Iterator

import pytest

from lastlogin_stack.cassandra import Cassandra
from lastlogin_stack.layout import Layout
from tests.support.consumer import ConsumerProcess
from tests.support.login_stream import LoginStream
from tests.support.own_table import OwnTable
from tests.support.process import wait_until
from tests.support.topics import Topics


class Moved(Cassandra):
    """It serves clients at another address; to other nodes it is the same."""

    address = "127.0.0.5"

    def prepare(self) -> None:
        """Change cassandra.yaml."""
        super().prepare()
        yaml = self.directory / "cassandra.yaml"
        plain = yaml.read_text(encoding="utf-8")
        yaml.write_text(plain.replace("rpc_address: 127.0.0.1\n", f"rpc_address: {self.address}\n"), encoding="utf-8")


def _move(old: Cassandra, new: Cassandra) -> None:
    old.stop()
    new.start()
    new.wait_ready()


@pytest.fixture
def cassandra(stack: Layout, table: OwnTable) -> Iterator[Cassandra]:
    """Cassandra where it was; afterwards there again, for `table` is dropped then."""
    plain = Cassandra(stack)
    yield plain
    if not plain.answers():
        _move(plain, plain)


@pytest.mark.timeout(300)
def test_cassandra_comes_back_at_another_address(
    topics: Topics,
    cassandra: Cassandra,
    stream: LoginStream,
    member: Callable[..., ConsumerProcess],
    figures: Callable[[str], None],
) -> None:
    """Within 90 s from its first answer there rows are written again, of themselves, and in the end all are there."""
    moved = Moved(cassandra.layout)
    consumer = member(CASSANDRA__CONTACT_POINTS=f"{cassandra.address},{moved.address}")
    consumer.start()

    def written() -> float:
        return consumer.scrape().get("rows_written_total", 0)

    with stream:
        consumer.wait_until(lambda: written() > 500)
        _move(cassandra, moved)
        answered, before = time.monotonic(), written()
        wait_until(lambda: written() > before, 120)
        resumed_s = time.monotonic() - answered
    assert 0 == stream.drained(consumer)
    _move(moved, cassandra)
    found = stream.audit()
    figures(f"rows again {resumed_s:.1f} s after its first answer; {found}")

    assert [] == found.wrong
    assert 1 == len(consumer.said("assigned"))
    assert resumed_s < 90
