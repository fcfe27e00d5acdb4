"""The dict server on a real UNIX socket, before a spool in memory."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from lastlogin_producer.conversation import Conversation
from lastlogin_producer.listener import Listener, SocketFile
from lastlogin_producer.outcome import Outcome
from lastlogin_producer.rule_settings import RuleSettings
from lastlogin_producer.server import DictServer, ServerLimits
from lastlogin_schemas.event import LoginEvent, RawWrite
from lastlogin_service.exits import TEMPFAIL, Exit
from tests.fakes.memory_spool import MemorySpool
from tests.support.rules import event_rules


HELLO = b"H3\t2\t0\t\tstatsdb\n"
LOGIN = HELLO + b"B1\ttest1\nS1\tshared/last-login/imap/test1\t1795387910161\nC1\n"
RULES = event_rules()


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class Served:
    """A running server with what a test needs of it."""

    def __init__(self, path: Path, limits: ServerLimits, allowed_uids: frozenset[int] | None = None) -> None:
        self.path = path
        self.spool = MemorySpool()
        self.clock = Clock()
        self.server = DictServer(
            Listener(SocketFile(path)),
            RULES,
            self.spool,
            limits,
            allowed_uids=allowed_uids,
            monotonic=self.clock,
            now_us=lambda: 5,
        )

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client's connection."""
        return await asyncio.open_unix_connection(self.path)

    async def exchange(self, data: bytes) -> bytes:
        """Send `data` on a connection of its own, and all that comes back until the server has closed."""
        reader, writer = await self.connect()
        writer.write(data)
        writer.write_eof()
        try:
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for what the server is about to do."""
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - the server tells nobody what it is about to do
                await asyncio.sleep(0.001)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with small limits; its sweep is the test's to call."""
    served = Served(tmp_path / "dict.sock", ServerLimits(connections=3, sweep_s=0.25))
    await served.server.start()
    yield served
    served.spool.held = False
    await served.server.stop_accepting()
    await served.server.drain(0)


async def test_a_login(served: Served) -> None:
    """A login is answered `O1`, and is in the spool by then."""
    assert b"O1\n" == await served.exchange(LOGIN)
    [event] = served.spool.messages
    assert isinstance(event, LoginEvent)
    assert ("test1", "imap", 5) == (event.user, event.service, event.received_at_us)


async def test_logins_by_service(served: Served) -> None:
    """A login that is answered as stored counts by its service, however it came; no other answer does."""
    served.server.use(event_rules(rules=[RuleSettings(services=["submission"], address="omit")]))
    for service in (b"imap", b"submission", b"made-up"):
        login = LOGIN.replace(b"imap", service)
        for sent in (login, login + login.removeprefix(HELLO)):
            assert sent.count(b"C1") * b"O1\n" == await served.exchange(sent)
    await served.exchange(LOGIN.replace(b"1795387910161", b"abc"))
    served.spool.room = 0
    assert b"F1" == (await served.exchange(LOGIN))[:2]

    counted = {service: count for service, count in served.server.stats.logins.items() if count}
    assert {"imap": 3, "submission": 3, "other": 3} == counted


async def test_a_write_that_is_no_login(served: Served) -> None:
    """What does not fit is stored for the quarantine, counted, and answered `O1`."""
    assert b"O1\n" == await served.exchange(LOGIN.replace(b"1795387910161", b"abc"))
    [raw] = served.spool.messages
    assert isinstance(raw, RawWrite)
    assert {"bad_value": 1} == served.server.stats.quarantined


async def test_a_login_that_a_rule_drops(served: Served) -> None:
    """It is answered `O1` in its turn, counted, and the spool never sees it: what follows has the next number."""
    served.server.use(event_rules(rules=[RuleSettings(services=["lda"], action="drop")]))
    served.spool.held = True
    reader, writer = await served.connect()
    lda = LOGIN.removeprefix(HELLO).replace(b"imap", b"lda")
    writer.write(LOGIN + lda.replace(b"B1", b"B2").replace(b"S1", b"S2").replace(b"C1", b"C2"))
    await served.until(lambda: served.server.stats.dropped)
    assert 1 == served.spool.waiting
    served.spool.release()

    assert b"O1\nO2\n" == await asyncio.wait_for(reader.readexactly(6), 5)
    served.spool.held = False
    writer.write(lda * 1_000)
    assert b"O1\n" * 1_000 == await asyncio.wait_for(reader.readexactly(3_000), 5)
    assert {"service": 1_001} == served.server.stats.dropped
    assert ["imap"] == [event.service for event in served.spool.messages if isinstance(event, LoginEvent)]
    writer.close()


async def test_a_full_spool(served: Served) -> None:
    """A spool without room is `F1`, at once."""
    served.spool.room = 0

    assert b"F1\tspool full\n" == await served.exchange(LOGIN)


async def test_a_violation(served: Served) -> None:
    """Garbage closes its connection, is counted, and does not touch the others."""
    reader, writer = await served.connect()
    writer.write(HELLO)

    assert b"" == await served.exchange(b"GET / HTTP/1.0\r\n\r\n")
    writer.write(LOGIN.removeprefix(HELLO))
    assert b"O1\n" == await asyncio.wait_for(reader.readline(), 5)
    assert {"no_hello": 1} == served.server.stats.closed
    writer.close()


async def test_clients_that_begin_too_much_together(served: Served) -> None:
    """Whoever begins what is too much with all others' is closed; a login is answered, and what is over counts no more.

    What it had committed before is answered first.
    """
    served.server._shared.limits = replace(served.server._shared.limits, held_bytes=100_000)
    begun = HELLO + b"B1\tu\nS1\tk\t" + b"x" * 60_000
    for end in ("is taken back", "goes with its connection"):
        _, holds = await served.connect()
        holds.write(begun)
        await served.until(lambda: served.server._shared._held_bytes > 60_000)
        served.spool.held = True
        reader, writer = await served.connect()
        writer.write(LOGIN + begun.removeprefix(HELLO))
        await served.until(lambda: served.server.stats.closed)
        served.spool.release()
        assert b"O1\n" == await asyncio.wait_for(reader.read(), 5)
        writer.close()
        served.spool.held = False
        assert b"O1\n" == await served.exchange(LOGIN)

        assert {"too_many": 1} == served.server.stats.closed
        served.server.stats.closed.clear()
        if end == "is taken back":
            holds.write(b"\nR1\n")
        else:
            holds.close()
        await served.until(lambda: not served.server._shared._held_bytes)
        holds.close()


async def test_a_spool_that_does_not_answer(served: Served) -> None:
    """Within 2 s a commit is answered `W1`; the outcome that comes later is not sent."""
    served.spool.held = True
    reader, writer = await served.connect()
    writer.write(LOGIN)
    await served.until(lambda: served.spool.waiting)
    served.server.sweep()
    served.clock.now += 1.8
    served.server.sweep()

    assert b"W1\tnot confirmed by the spool\n" == await asyncio.wait_for(reader.readline(), 5)
    served.spool.release(Outcome.STORED)
    writer.write(LOGIN.removeprefix(HELLO).replace(b"1\t", b"2\t").replace(b"C1", b"C2"))
    await served.until(lambda: served.spool.waiting)
    served.spool.release()
    assert b"O2\n" == await asyncio.wait_for(reader.readline(), 5)
    assert ("+Inf", 1.0) == served.server.stats.reply_seconds[Outcome.UNCONFIRMED].buckets()[-1]
    writer.close()


@pytest.mark.parametrize(("sent", "reason"), [(b"H3\t2", "slow_line"), (HELLO, "idle"), (b"", "slow_line")])
async def test_a_client_that_dawdles(served: Served, sent: bytes, reason: str) -> None:
    """Half a line is waited for 5 s, the next command a minute; then the connection is closed."""
    reader, writer = await served.connect()
    writer.write(sent)
    await served.until(lambda: served.server.connections == 1)
    await served.exchange(LOGIN)
    # Nobody is about to bring a whole login any more.
    served.server.sweep()
    await served.until(lambda: all(isinstance(each, Conversation) for each in served.server._shared.connections))
    limit = 5 if reason == "slow_line" else 60
    served.clock.now += limit - 0.1
    served.server.sweep()
    before = served.server.connections
    served.clock.now += 0.2
    served.server.sweep()

    assert b"" == await asyncio.wait_for(reader.read(), 5)
    assert 1 == before
    assert {reason: 1} == served.server.stats.closed
    writer.close()


async def test_too_many_connections(served: Served) -> None:
    """One connection more than allowed is closed at once; the others work."""
    held = [await served.connect() for _ in range(3)]
    await served.until(lambda: served.server.connections == 3)

    reader, writer = await served.connect()
    assert b"" == await asyncio.wait_for(reader.read(), 5)
    writer.close()
    held[0][1].write(LOGIN)
    assert b"O1\n" == await asyncio.wait_for(held[0][0].readline(), 5)
    assert {"too_many": 1} == served.server.stats.closed
    for _, each in held:
        each.close()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("allowed", [True, False])
def test_users_who_may_connect(tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop], *, allowed: bool) -> None:
    """A user who is named is served; another's connection is closed at once, and counted."""
    served = Served(tmp_path / "dict.sock", ServerLimits(), frozenset({os.geteuid() if allowed else os.geteuid() + 1}))

    async def run() -> None:
        await served.server.start()
        try:
            assert (b"O1\n" if allowed else b"") == await served.exchange(LOGIN)
        except (BrokenPipeError, ConnectionResetError):
            assert not allowed
        await served.server.stop_accepting()
        await served.server.drain(0)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
    assert ({} if allowed else {"peer_not_allowed": 1}) == served.server.stats.closed
    assert (1 if allowed else 0) == len(served.spool.messages)


async def test_stopping(served: Served) -> None:
    """A stop removes the socket file, answers what was committed, and closes everything."""
    served.spool.held = True
    reader, writer = await served.connect()
    writer.write(LOGIN)
    await served.until(lambda: served.spool.waiting)
    await served.server.stop_accepting()
    draining = asyncio.create_task(served.server.drain(5))
    await asyncio.sleep(0)

    assert not served.path.exists()
    served.spool.release()
    assert b"O1\n" == await asyncio.wait_for(reader.read(), 5)
    assert 0 == await draining
    writer.close()


async def test_a_stop_counts_what_it_leaves(served: Served) -> None:
    """Commits that the spool does not answer within the deadline are counted."""
    served.spool.held = True
    _, writer = await served.connect()
    writer.write(LOGIN)
    await served.until(lambda: served.spool.waiting)
    await served.server.stop_accepting()

    assert 1 == await served.server.drain(0)
    writer.close()


async def test_mode_of_the_socket(served: Served) -> None:
    """The socket has its mode from the first moment: only owner and group may connect."""
    assert stat.S_ISSOCK(served.path.stat().st_mode)
    assert 0o660 == stat.S_IMODE(served.path.stat().st_mode)


async def test_a_second_server_refuses(served: Served) -> None:
    """A live socket is neither taken over nor removed."""
    with pytest.raises(Exit, match="another server listens there") as caught:
        Listener(SocketFile(served.path)).open()

    assert TEMPFAIL == caught.value.code
    assert b"O1\n" == await served.exchange(LOGIN)
