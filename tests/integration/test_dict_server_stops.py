"""Stopping the dict server: who is taken on, who is waited for, and who is not."""

import asyncio
import time

import pytest

from tests.support.running_server import COMMIT, HELLO, Running, Serve, until


def test_a_stop_takes_on_who_has_connected(serve: Serve) -> None:
    """Logins that wait in the backlog when the server stops are answered."""

    async def scenario(running: Running) -> None:
        clients = [running.connect_now(HELLO + COMMIT) for _ in range(50)]
        await running.server.stop_accepting()

        assert not running.path.exists()
        assert 0 == await running.server.drain(5)
        assert [b"O1\n"] * 50 == [client.recv(100) for client in clients]
        for client in clients:
            client.close()

    serve(scenario)


def test_who_waits_at_a_file_that_is_taken_away(serve: Serve) -> None:
    """Logins in the backlog of a socket that nobody finds any more are answered, as are those at the new one."""

    async def scenario(running: Running) -> None:
        clients = [running.connect_now(HELLO + COMMIT) for _ in range(50)]
        running.path.unlink()
        assert running.server._intake is not None
        await running.server._misses_its_file(running.server._intake)
        clients.append(running.connect_now(HELLO + COMMIT))
        await until(lambda: len(running.spool.messages) == 51)
        await running.server.stop_accepting()

        assert 0 == await running.server.drain(5)
        assert [b"O1\n"] * 51 == [client.recv(100) for client in clients]
        for client in clients:
            client.close()

    serve(scenario)


def test_a_stop_does_not_miss_its_file(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that a stop removes is not missed meanwhile: it is not made again."""
    monkeypatch.setattr("lastlogin_producer.server._LOOK_EVERY_S", 0.0)

    async def scenario(running: Running) -> None:
        watching = asyncio.create_task(running.server.watch())
        await asyncio.sleep(0)
        clients = [running.connect_now(HELLO + COMMIT) for _ in range(50)]
        await running.server.stop_accepting()
        watching.cancel()

        assert 0 == running.server.stats.misplaced
        assert not running.path.exists()
        for client in clients:
            client.close()

    serve(scenario)


def test_a_stop_does_not_wait_for_kept_connections(serve: Serve) -> None:
    """Between two logins a connection is closed at once; a login that is under way is let finish."""

    async def scenario(running: Running) -> None:
        kept, kept_writer = await running.connect(HELLO + COMMIT)
        assert b"O1\n" == await kept.readline()
        begun, begun_writer = await running.connect(HELLO)
        await until(lambda: running.server.connections == 2)
        await running.server.stop_accepting()
        draining = asyncio.create_task(running.server.drain(5))

        assert b"" == await kept.read()
        begun_writer.write(COMMIT)
        assert b"O1\n" == await begun.read()
        assert 0 == await draining
        kept_writer.close()
        begun_writer.close()

    serve(scenario)


def test_a_stop_does_not_wait_for_the_silent(serve: Serve) -> None:
    """A connection that brings nothing delays a stop by a second at most."""

    async def scenario(running: Running) -> None:
        reader, writer = await running.connect(HELLO)
        await until(lambda: running.server.connections == 1)
        await running.server.stop_accepting()
        begun = time.monotonic()

        assert 0 == await running.server.drain(10)
        assert time.monotonic() - begun < 3
        assert b"" == await reader.read()
        writer.close()

    serve(scenario)
