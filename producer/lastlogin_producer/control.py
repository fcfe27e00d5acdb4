"""A way to ask a running producer: a UNIX socket beside the spool, one JSON object in a line each way.

    {"do": "status"}                      the levels of `Status`, by name
    {"do": "resend", "since_us": 17953}   {"rows": 4711}: so many delivered messages wait again

What went wrong is `{"error": "<sentence>", "code": <exit code>}`. Only the service's user and root can connect: mode
0600, in a directory that nobody else may write to. No login waits for any of this.
"""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from lastlogin_producer.spool import Spool, SpoolFault
from lastlogin_service.exits import SOFTWARE, TEMPFAIL, UNAVAILABLE, Exit


FILE_NAME = "control.sock"

# A request has some fifty bytes.
_MAX_LINE_BYTES = 4_096
# A person and a script or two.
_MAX_CONNECTIONS = 8
_LINE_S = 5.0
# What the spool's file has room for.
_MAX_US = 2**63 - 1
# Marking millions of rows is a write on disk of its own; everything else is answered at once.
ANSWER_S = 60.0

Answer: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Status:
    """A producer at one moment."""

    rows_waiting: int
    bytes_waiting: int
    oldest_age_s: float
    # Delivered, and kept for sending once more.
    rows_kept: int
    # In the spool's table of what is never published.
    set_aside: int
    # Acknowledged by Kafka since the start.
    published: int
    kafka_away: bool


async def resend(spool: Spool, since_us: int) -> int:
    """Make kept messages wait again, as `Spool.resend`. Raises `Exit` when it cannot be done."""
    try:
        return await spool.resend(since_us)
    except SpoolFault as fault:
        raise Exit(TEMPFAIL, f"the spool's disk failed, so that only some may wait again; repeat it: {fault}") from None
    except ValueError as no_room:
        # There is no room for them beside what waits; it says what to do.
        raise Exit(TEMPFAIL, str(no_room)) from None


class Control:
    """Answers on `<directory>/control.sock`; whoever starts it holds the spool's lock, so that a file there is stale.

    `status` gives the levels, `resend(since_us)` is as `resend` above.
    """

    def __init__(self, directory: Path, status: Callable[[], Status], resend: Callable[[int], Awaitable[int]]) -> None:
        self._directory = directory
        self._status = status
        self._resend = resend
        self._server: asyncio.Server | None = None
        self._connections = 0

    async def start(self) -> None:
        """Listen. Raises `Exit(75)` when the socket cannot be made."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            with _short_path(self._directory) as path:
                path.unlink(missing_ok=True)
                # Set before the file exists: a mode that is set later comes too late.
                umask = os.umask(0o177)
                try:
                    listening.bind(str(path))
                finally:
                    os.umask(umask)
            self._server = await asyncio.start_unix_server(self._connected, sock=listening, limit=_MAX_LINE_BYTES)
        except OSError as error:
            listening.close()
            raise Exit(TEMPFAIL, f"{self._directory / FILE_NAME}: cannot listen there: {error.strerror}") from None

    async def stop(self) -> None:
        """Stop listening, and remove the file."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with suppress(OSError):
                (self._directory / FILE_NAME).unlink(missing_ok=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= _MAX_CONNECTIONS:
                line = await asyncio.wait_for(reader.readline(), _LINE_S)
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await asyncio.wait_for(writer.drain(), _LINE_S)
        except (OSError, TimeoutError, ValueError):
            # Too slow, gone, or a line without end: nobody who waits for an answer.
            pass
        finally:
            self._connections -= 1
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
        except ValueError:
            return {"error": "must be a line of JSON", "code": UNAVAILABLE}
        try:
            match request:
                case {"do": "status"}:
                    return asdict(self._status())
                case {"do": "resend", "since_us": int(since_us)} if 0 <= since_us <= _MAX_US:
                    return {"rows": await self._resend(since_us)}
                case {"do": "resend", "since_us": int()}:
                    error = "since_us must be microseconds since 1970-01-01 UTC, below 2**63"
                case _:
                    error = "must be one of the requests status and resend"
        except Exit as end:
            return {"error": end.message, "code": end.code}
        except Exception as defect:  # noqa: BLE001 - whoever asked must hear of it, and the producer must go on
            return {"error": f"failed: {defect!r}", "code": SOFTWARE}
        return {"error": error, "code": UNAVAILABLE}


async def ask(directory: Path, request: Answer, deadline_s: float = ANSWER_S) -> dict[str, Any]:
    """Ask the producer whose spool is in `directory`.

    Raises `Exit`: 75 when it does not answer; with its own sentence and code when it could not do that.
    """
    where = directory / FILE_NAME
    try:
        async with asyncio.timeout(deadline_s):
            with _short_path(directory) as path:
                reader, writer = await asyncio.open_unix_connection(path, limit=_MAX_LINE_BYTES)
            try:
                writer.write(json.dumps(request).encode() + b"\n")
                answer = json.loads(await reader.readline())
            finally:
                writer.close()
    except TimeoutError:
        raise Exit(TEMPFAIL, f"{where}: the running producer did not answer within {deadline_s:g} s") from None
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it closed the connection"
        raise Exit(
            TEMPFAIL,
            f"{where}: cannot ask the running producer: {why}; ask as root or as the user that it runs as; one of an "
            "older version has no such socket",
        ) from None
    if "error" in answer:
        raise Exit(int(answer["code"]), answer["error"])
    return dict(answer)


async def ask_status(directory: Path, deadline_s: float = 5.0) -> Status:
    """Ask for the levels. Raises as `ask`."""
    answer = await ask(directory, {"do": "status"}, deadline_s)
    # A producer of another version may know more of them, or fewer.
    return Status(**{field.name: answer.get(field.name, 0) for field in fields(Status)})


@contextmanager
def _short_path(directory: Path) -> Iterator[Path]:
    """Give a path of the socket that is short enough for a socket's address (107 bytes), whatever the directory."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{descriptor}/{FILE_NAME}")
    finally:
        os.close(descriptor)
