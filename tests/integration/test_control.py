"""The control socket of a producer: bounded, for its own user alone, and in nobody's way."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lastlogin_producer import control
from lastlogin_producer.control import FILE_NAME, Control, Status, ask, ask_status
from lastlogin_producer.spool.faults import NotStored
from lastlogin_service.exits import SOFTWARE, TEMPFAIL, Exit
from tests.support.dict_client import write
from tests.support.process import wait_until
from tests.support.producer import ProducerProcess


STATUS = Status(
    rows_waiting=3, bytes_waiting=600, oldest_age_s=1.5, rows_kept=7, set_aside=1, published=9, kafka_away=True
)


class Keeping:
    """A spool that keeps delivered rows, as far as resending sees it."""

    async def resend(self, since_us: int) -> int:
        return since_us


KEEPING = Keeping()


@asynccontextmanager
async def controlled(directory: Path, spool: Any = KEEPING) -> AsyncIterator[Control]:
    """A control socket that answers with `STATUS`."""
    server = Control(directory, lambda: STATUS, lambda since_us: control.resend(spool, since_us))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def raw(directory: Path, line: bytes) -> bytes:
    """Send bytes; everything that comes back until the connection ends."""
    reader, writer = await asyncio.open_unix_connection(directory / FILE_NAME)
    writer.write(line)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def test_status_and_resend(tmp_path: Path) -> None:
    """Each request is answered with one object; the file is for its owner alone, and goes with the server."""
    async with controlled(tmp_path):
        assert STATUS == await ask_status(tmp_path)
        assert {"rows": 17} == await ask(tmp_path, {"do": "resend", "since_us": 17})
        assert 0o600 == stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "found", "code"),
    [
        (NotStored("disk full"), "repeat it: disk full", TEMPFAIL),
        (ValueError("there is no room; drain it first"), "there is no room; drain it first", TEMPFAIL),
        (RuntimeError("a bug"), "a bug", SOFTWARE),
    ],
)
async def test_a_spool_that_fails(tmp_path: Path, error: Exception, found: str, code: int) -> None:
    """Whoever asked hears why, with the code to end with; the next request is answered."""

    class Failing(Keeping):
        async def resend(self, since_us: int) -> int:
            raise error

    async with controlled(tmp_path, Failing()):
        with pytest.raises(Exit, match=found) as raised:
            await ask(tmp_path, {"do": "resend", "since_us": 17})
        assert code == raised.value.code
        assert STATUS == await ask_status(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        b"[1\n",
        b'{"do": "rm"}\n',
        b'{"do": "resend"}\n',
        b'{"do": "resend", "since_us": "1"}\n',
        b'{"do": "resend", "since_us": -1}\n',
        b'{"do": "resend", "since_us": 1000000000000000000000000000000}\n',
        b"\xff\n",
    ],
)
async def test_odd_requests(tmp_path: Path, line: bytes) -> None:
    """What is no request is told to be none, and the next one is answered."""
    async with controlled(tmp_path):
        assert {"error", "code"} == set(json.loads(await raw(tmp_path, line)))
        assert STATUS == await ask_status(tmp_path)


async def test_a_line_without_end(tmp_path: Path) -> None:
    """More than 4 KiB without a newline is cut off unanswered."""
    async with controlled(tmp_path):
        assert b"" == await raw(tmp_path, b"x" * 10_000)


async def test_silent_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight may be connected at once, one more is closed; who stays silent is closed after the time for a line."""
    monkeypatch.setattr(control, "_LINE_S", 0.3)
    async with controlled(tmp_path):
        silent = [await asyncio.open_unix_connection(tmp_path / FILE_NAME) for _ in range(8)]
        with pytest.raises(Exit) as raised:
            await ask_status(tmp_path)
        assert TEMPFAIL == raised.value.code
        async with asyncio.timeout(5):
            assert [b""] * 8 == [await reader.read() for reader, _ in silent]
        for _, writer in silent:
            writer.close()
        assert STATUS == await ask_status(tmp_path)


async def test_a_long_path(tmp_path: Path) -> None:
    """A directory whose name is too long for a socket's address serves as any other."""
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    async with controlled(directory):
        assert STATUS == await ask_status(directory)
    assert [] == list(directory.iterdir())


async def test_a_stale_file(tmp_path: Path) -> None:
    """The file that a killed producer left is replaced; without a producer the sentence says what to do, with 75."""
    (tmp_path / FILE_NAME).write_text("")
    with pytest.raises(Exit, match="cannot ask the running producer: Connection refused") as raised:
        await ask_status(tmp_path)
    assert TEMPFAIL == raised.value.code
    async with controlled(tmp_path):
        assert STATUS == await ask_status(tmp_path)


def test_a_producer(tmp_path: Path) -> None:
    """A producer tells what waits in its spool, and takes the socket's file along when it stops."""
    with ProducerProcess(tmp_path) as producer:
        producer.serve()
        for user in ("a", "b"):
            write(producer.socket, user, f"shared/last-login/imap/{user}", "1795387910161")
        status = asyncio.run(ask_status(tmp_path / "spool"))
        wait_until(lambda: asyncio.run(ask_status(tmp_path / "spool")).kafka_away)

        assert (2, 0, 0) == (status.rows_waiting, status.set_aside, status.published)
        assert status.bytes_waiting > 100
        assert 0 == producer.stop()
    assert not (tmp_path / "spool" / FILE_NAME).exists()
