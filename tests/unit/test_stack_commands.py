"""What `up` promises: with 0 everything answers."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastlogin_stack import commands
from lastlogin_stack.errors import UNAVAILABLE, StackError
from lastlogin_stack.layout import Layout
from lastlogin_stack.server import Server
from lastlogin_stack.services import create_ring_table


class Sleeper(Server):
    """A program that answers for as long as there is a file `answers` in its directory."""

    name = "sleeper"
    start_deadline_s = 1.0
    ports = ()

    @property
    def endpoint(self) -> str:
        """Nowhere."""
        return "here"

    def prepare(self) -> None:
        (self.directory / "answers").touch()

    def command(self) -> list[str]:
        return [sys.executable, "-c", "import time; time.sleep(60)"]

    def probe(self) -> None:
        (self.directory / "answers").stat()


class Spoiler(Sleeper):
    """A program at whose start the other one ceases to answer."""

    name = "spoiler"

    def prepare(self) -> None:
        super().prepare()
        (self.layout.server_directory("sleeper") / "answers").unlink()


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    """A stack of these two servers; nothing runs afterwards."""
    layout = Layout(tmp_path / "stack")
    monkeypatch.setattr(commands, "ALL_SERVERS", {"sleeper": Sleeper, "spoiler": Spoiler})
    yield layout
    for server in (Sleeper(layout), Spoiler(layout)):
        server.kill()


def test_a_server_that_runs_and_answers(layout: Layout) -> None:
    """A second `up` changes nothing."""
    commands.start_pipeline(layout, ["sleeper"])
    pid = Sleeper(layout).process.pid()
    commands.start_pipeline(layout, ["sleeper"])

    assert pid is not None
    assert pid == Sleeper(layout).process.pid()


def test_a_server_that_runs_and_hangs(layout: Layout) -> None:
    """It is named, with 69, when its time is over; it was not started here, so it is not stopped."""
    commands.start_pipeline(layout, ["sleeper"])
    (layout.server_directory("sleeper") / "answers").unlink()
    with pytest.raises(StackError, match="sleeper does not answer after 1 s") as caught:
        commands.start_pipeline(layout, ["sleeper"])

    assert UNAVAILABLE == caught.value.code
    assert Sleeper(layout).process.pid() is not None


def test_a_server_that_begins_to_hang(layout: Layout) -> None:
    """One that was ready, and is not any more when the others are, is a failure: what was started is stopped again."""
    commands.start_pipeline(layout, ["sleeper"])
    with pytest.raises(StackError, match="sleeper does not answer after 1 s"):
        commands.start_pipeline(layout, ["sleeper", "spoiler"])

    assert Spoiler(layout).process.pid() is None


def test_no_cassandra_for_the_table(tmp_path: Path) -> None:
    """A node that does not answer when the table is to be made is a sentence, no traceback."""
    with pytest.raises(StackError, match="the table could not be made in Cassandra: "):
        create_ring_table(Layout(tmp_path, 1))
