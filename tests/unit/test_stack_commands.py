"""What `up` promises: with 0 everything answers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from lastlogin_stack import commands
from lastlogin_stack.errors import UNAVAILABLE, NotReady, StackError
from lastlogin_stack.layout import Layout
from lastlogin_stack.process import identify
from lastlogin_stack.server import Server
from lastlogin_stack.services import ConsumerService, create_ring_table


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


def test_the_state_of_a_server(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that answers that it is not ready is told apart from one that does not answer, with its reason."""

    def unready(_self: Server) -> None:
        raise NotReady("Cassandra is away")

    states = [commands.print_status(layout, ["sleeper"])]
    commands.start_pipeline(layout, ["sleeper"])
    pid = Sleeper(layout).process.pid()
    capsys.readouterr()
    states.append(commands.print_status(layout, ["sleeper"]))
    monkeypatch.setattr(Sleeper, "probe", unready)
    states.append(commands.print_status(layout, ["sleeper"]))
    monkeypatch.setattr(Sleeper, "probe", lambda _self: (_ for _ in ()).throw(OSError))
    states.append(commands.print_status(layout, ["sleeper"]))

    assert states == [3, 0, 3, 3]
    assert capsys.readouterr().out.splitlines() == [
        f"sleeper    up, pid {pid}, here",
        f"sleeper    not ready: Cassandra is away, pid {pid}, here",
        f"sleeper    does not answer, pid {pid}, here",
    ]


def test_a_consumer_that_is_not_ready(tmp_path: Path) -> None:
    """Its own reasons are told."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Say no, as its /readyz does."""
            self.send_response(503)
            self.end_headers()
            self.wfile.write(b'{"service": "lastlogin-consumer", "status": "failing", "reasons": ["a", "b"]}')

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.handle_request, daemon=True).start()
        layout = Layout(tmp_path, server.server_port - Layout(tmp_path, 0).consumer_metrics_port)
        with pytest.raises(NotReady, match="a; b"):
            ConsumerService(layout).probe()


def test_servers_that_nobody_misses(tmp_path: Path) -> None:
    """`status` names the plain stack's servers, and of those that are only started by name the ones that run."""
    layout = Layout(tmp_path / "stack")
    layout.create()
    ourselves = identify(os.getpid())
    assert ourselves is not None

    def named(*servers: str) -> list[str]:
        command = [sys.executable, "-m", "lastlogin_stack", "status", *servers, "--dir", str(layout.directory)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 3
        return [line.split()[0] for line in ended.stdout.splitlines()]

    assert named() == list(commands.SERVERS)
    assert named("kafka2") == ["kafka2"]
    layout.pid_file("kafka1").write_text(ourselves.encode())
    assert named() == [*commands.SERVERS, "kafka1"]


def test_nobody_reads_the_status(tmp_path: Path) -> None:
    """`status | head` ends without a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "lastlogin_stack", "status", "--dir", str(tmp_path / "stack")]
    with os.fdopen(writing, "wb") as output:
        ended = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, check=False)

    assert (141, b"") == (ended.returncode, ended.stderr)


def test_no_cassandra_for_the_table(tmp_path: Path) -> None:
    """A node that does not answer when the table is to be made is a sentence, no traceback."""
    with pytest.raises(StackError, match="the table could not be made in Cassandra: "):
        create_ring_table(Layout(tmp_path, 1))
