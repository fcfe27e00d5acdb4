"""Clients of every temper on a real UNIX socket, on the loop of production and on asyncio's own."""

import asyncio
import socket
import time
from functools import partial
from pathlib import Path

from lastlogin_producer.conversation import Conversation
from lastlogin_producer.server import ServerLimits
from tests.support.running_server import COMMIT, HELLO, Running, Serve, until


def _has_unfinished(conversation: Conversation, count: int) -> bool:
    return len(conversation._dict._lines._unfinished) == count


def test_a_client_that_shuts_down_its_half(serve: Serve) -> None:
    """Who has nothing more to say still gets the reply, and then the end."""

    async def scenario(running: Running) -> None:
        running.spool.held = True
        reader, writer = await running.connect(HELLO + COMMIT)
        writer.write_eof()
        await until(lambda: running.spool.waiting)
        running.spool.release()

        assert b"O1\n" == await reader.read()
        writer.close()

    serve(scenario)


def test_a_client_that_goes_without_its_reply(serve: Serve) -> None:
    """What was committed is stored though nobody waits for the reply."""

    async def scenario(running: Running) -> None:
        running.spool.held = True
        client = running.connect_now(HELLO + COMMIT)
        await until(lambda: running.spool.waiting)
        client.close()
        running.spool.release()
        await until(lambda: not running.server.connections)

        assert 1 == len(running.spool.messages)

    serve(scenario)


def test_bytes_that_drip(serve: Serve) -> None:
    """A login whose bytes come one by one is a login."""

    async def scenario(running: Running) -> None:
        reader, writer = await running.connect()
        for byte in HELLO + COMMIT:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

        assert b"O1\n" == await reader.readline()
        writer.close()

    serve(scenario)


def test_a_line_that_drips_too_slowly(serve: Serve) -> None:
    """One byte a second does not hold a connection: a line has 5 s from its beginning."""

    async def scenario(running: Running) -> None:
        reader, writer = await running.connect(HELLO)
        await until(lambda: running.conversing and running.conversation._line_since is None)
        for count in range(1, 5):
            writer.write(b"S")
            await until(partial(_has_unfinished, running.conversation, count))
            running.pass_time(1.3)

        assert b"" == await reader.read()
        assert {"slow_line": 1} == running.server.stats.closed
        writer.close()

    serve(scenario)


def test_more_commits_at_once_than_are_looked_at(serve: Serve) -> None:
    """A flood of commits is taken in portions, each answered in its turn."""

    async def scenario(running: Running) -> None:
        running.spool.held = True
        reader, writer = await running.connect(HELLO + COMMIT * 1_000)
        await until(lambda: running.spool.waiting and running.conversation._dict.full)
        assert 64 == running.spool.waiting
        assert not running.conversation._reading

        running.spool.held = False
        for _ in range(64):
            running.spool.release()
        assert b"O1\n" * 1_000 == await reader.readexactly(3_000)
        assert 1_000 == len(running.spool.messages)
        writer.close()

    serve(scenario)


def test_a_client_that_does_not_read(serve: Serve) -> None:
    """Who does not read is not read from either, and is closed after 10 s; little is kept for it meanwhile."""

    async def scenario(running: Running) -> None:
        client = running.connect_now(HELLO)

        def flood() -> bool:
            try:
                while True:
                    client.send(b"Lshared/x\tu\n" * 1_000)
            except BlockingIOError:
                return running.conversing and running.conversation._blocked_since is not None

        await until(flood)
        conversation = running.conversation
        assert not conversation._reading
        assert conversation._transport.get_write_buffer_size() < 20_000

        running.pass_time(9.9)
        assert 1 == running.server.connections
        running.pass_time(0.2)
        await until(lambda: not running.server.connections)
        assert {"not_reading": 1} == running.server.stats.closed
        client.close()

    serve(scenario)


def test_a_client_that_reads_late(serve: Serve) -> None:
    """Who reads in the end gets every reply."""

    async def scenario(running: Running) -> None:
        client = running.connect_now(HELLO)
        sent = bytearray()

        def flood() -> bool:
            try:
                while True:
                    data = b"Lx\n" * 1_000
                    sent.extend(data[: client.send(data)])
            except BlockingIOError:
                return running.conversing and running.conversation._blocked_since is not None

        await until(flood)
        client.shutdown(socket.SHUT_WR)
        received = bytearray()

        def read() -> bool:
            try:
                while data := client.recv(65_536):
                    received.extend(data)
            except BlockingIOError:
                return False
            return True

        await until(read)
        assert sent.count(b"\n") == received.count(b"\n")
        client.close()

    serve(scenario)


def test_a_host_whose_clock_goes_back(serve: Serve) -> None:
    """Logins of before, during and after an hour's step back are all stored, and the step is counted once."""

    async def scenario(running: Running) -> None:
        reader, writer = await running.connect(HELLO)
        for step_s in (0, -3_600, 0, 3_600):
            running.time_s += step_s + 1
            writer.write(COMMIT)
            assert b"O1\n" == await reader.readline()
        writer.close()

        assert 4 == len(running.spool.messages)
        assert [1, -3_598, -3_597, 4] == [
            message.received_at_us // 1_000_000 - 10_000 for message in running.spool.messages
        ]
        assert 1 == running.clock.steps_back

    serve(scenario)


def test_a_first_piece_with_more_commits_than_are_looked_at(serve: Serve) -> None:
    """Who begins with more than may wait for the spool is not read on either: little is kept for it."""

    async def scenario(running: Running) -> None:
        running.spool.held = True
        client = running.connect_now(HELLO + b"B1\tu\nS1\tk\tv\nC1\n" * 70)
        await until(lambda: running.conversing and running.spool.waiting)
        await asyncio.sleep(0)
        sent = 0

        def flood() -> bool:
            nonlocal sent
            try:
                while sent < 5_000_000:
                    sent += client.send(b"B1\tu\nS1\tk\tv\nC1\n" * 1_000)
            except BlockingIOError:
                return True
            return True

        for _ in range(20):
            flood()
            await asyncio.sleep(0.001)
        assert sent < 1_000_000
        client.close()
        running.spool.release()

    serve(scenario)


def test_a_kept_connection(serve: Serve) -> None:
    """One connection may bring login after login, under the same id too."""

    async def scenario(running: Running) -> None:
        reader, writer = await running.connect(HELLO)
        for _ in range(3):
            writer.write(COMMIT)
            assert b"O1\n" == await reader.readline()
        writer.close()

        assert 3 == len(running.spool.messages)

    serve(scenario)


async def test_the_sweep_happens_by_itself(tmp_path: Path) -> None:
    """Nobody has to call for a commit to be answered in time."""
    limits = ServerLimits(commit_s=0.2, sweep_s=0.05)
    running = Running(tmp_path / "dict.sock", limits, time.monotonic)
    await running.server.start()
    running.spool.held = True
    reader, writer = await running.connect(HELLO + COMMIT)

    assert b"W1\tnot confirmed by the spool\n" == await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    await running.server.stop_accepting()
    await running.server.stop_accepting()
    assert 0 == await running.server.drain(1)
