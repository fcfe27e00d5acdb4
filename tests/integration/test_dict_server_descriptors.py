"""What the dict server does when the process may open no more files."""

import errno
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from lastlogin_producer import intake
from lastlogin_producer.listener import Listener, SocketFile
from lastlogin_producer.server import DictServer, ServerLimits
from tests.fakes.memory_spool import MemorySpool
from tests.support.process import cpu_s, wait_until
from tests.support.rules import event_rules


LOGIN = b"H3\t2\t0\t\tstatsdb\nB1\ttest1\nS1\tshared/last-login/imap/test1\t1795387910161\nC1\n"


def _log_in(path: Path) -> bytes:
    """Reply to one login; empty when the server closed instead."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        try:
            client.sendall(LOGIN)
            return client.recv(10)
        except (BrokenPipeError, ConnectionResetError):
            return b""


def test_without_file_descriptors(tmp_path: Path) -> None:
    """When no descriptor is left, connections are closed at once, no CPU is burnt, and later ones are served."""
    path = tmp_path / "dict.sock"
    program = textwrap.dedent(
        """
        import asyncio, resource, sys, uvloop
        from pathlib import Path
        from lastlogin_producer.listener import Listener, SocketFile
        from lastlogin_producer.server import DictServer, ServerLimits
        from tests.fakes.memory_spool import MemorySpool
        from tests.support.rules import event_rules

        async def run():
            rules = event_rules()
            server = DictServer(
                Listener(SocketFile(Path(sys.argv[1]))), rules, MemorySpool(), ServerLimits()
            )
            resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
            await server.start()
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.read)
            print(server.stats.accepted, flush=True)

        uvloop.run(run())
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert "few_files" in process.stdout.readline()
        while process.stdout.readline() != "ready\n":
            pass
        clients = [socket.socket(socket.AF_UNIX) for _ in range(200)]
        for client in clients:
            client.settimeout(5)
            client.connect(str(path))
        assert b"" == clients[-1].recv(1)
        before, begun = cpu_s(process.pid), time.monotonic()
        wait_until(lambda: time.monotonic() > begun + 1)
        assert cpu_s(process.pid) - before < 0.1
        for client in clients:
            client.close()

        # The server may still be busy with the ends of the others.
        deadline = time.monotonic() + 10
        while (reply := _log_in(path)) != b"O1\n":
            assert reply == b""
            assert time.monotonic() < deadline
        process.stdin.close()
        *_, accepted = process.stdout.read().splitlines()

    assert 0 == process.returncode
    assert int(accepted) < 60


class Exhausted:
    """A listening socket in a process without descriptors."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening

    def fileno(self) -> int:
        return self._listening.fileno()

    def close(self) -> None:
        self._listening.close()

    def accept(self) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    _accept = accept


async def test_a_spare_descriptor_that_another_thread_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the number of the spare descriptor stands for by then is left alone; connections wait a moment."""
    server = DictServer(Listener(SocketFile(tmp_path / "s")), event_rules(), MemorySpool(), ServerLimits())
    await server.start()
    taken = server._intake
    assert taken is not None
    spare = taken._reserve
    monkeypatch.setattr(taken, "_listening", Exhausted(taken._listening))  # type: ignore[arg-type]
    monkeypatch.setattr(intake, "_spare_descriptor", lambda: None)
    taken._accept()
    with (tmp_path / "other").open("w") as other:
        assert spare == other.fileno()
        taken._accept()
        await server.stop_accepting()
        await server.drain(0)
        other.write("still open")

    assert "still open" == (tmp_path / "other").read_text()
