"""A connection that does more than bring one whole login: feed, dispatch, write.

What it means is decided in `dictproto` and `events`.
"""

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial

from lastlogin_producer.dictproto import CommittedWrite, DictConnection, ProtocolViolation, Request
from lastlogin_producer.outcome import Outcome
from lastlogin_producer.serving import CloseReason, Shared


_WHY: Mapping[CloseReason, str] = {
    "unknown_dict": "A client asked for a dict that is not configured; closing it. See last_login_dict and [dicts]",
}

_UNREAD_BYTES = 4_096


class Conversation(asyncio.Protocol):
    """One connection. Its server calls `check` regularly; `end` ends it as soon as nothing is owed.

    It may ask for `dict_names`. Nothing has happened on it since `since` (seconds of the server's clock). `hello` is
    the line that it began with if a login was answered already; `data` was read and not looked at yet.
    """

    __slots__ = (
        "_active_at",
        "_blocked_since",
        "_closing",
        "_committed",
        "_data",
        "_dict",
        "_held",
        "_leaving",
        "_line_since",
        "_reading",
        "_shared",
        "_transport",
        "_unanswered",
    )
    _transport: asyncio.Transport

    def __init__(
        self, shared: Shared, dict_names: Mapping[bytes, str], since: float, hello: bytes = b"", data: bytes = b""
    ) -> None:
        self._shared = shared
        self._dict = DictConnection(dict_names, shared.limits.connection)
        self._dict.receive_data(hello)
        self._data = data
        # Of it, the server knows.
        self._held = 0
        # By place: when it was read, what, and the login's service. The oldest comes first.
        self._unanswered: dict[int, tuple[float, CommittedWrite, str | None]] = {}
        self._active_at = since
        self._line_since: float | None = None if hello else since
        self._blocked_since: float | None = None
        self._reading = True
        self._committed = bool(hello)
        self._leaving = False
        self._closing = False

    @property
    def unanswered(self) -> int:
        """Commits whose client waits for the reply."""
        return len(self._unanswered)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Go on where the arrival ended."""
        self._transport = transport
        # Some hundred replies; a client that does not read them is to notice soon that we do not read either.
        transport.set_write_buffer_limits(_UNREAD_BYTES)
        self._shared.connections.add(self)
        if self._data:
            self.data_received(self._data)
            self._data = b""
        if not self._reading and not self._closing:
            # uvloop begins to read after this, whatever was said before.
            asyncio.get_running_loop().call_soon(transport.pause_reading)

    def data_received(self, data: bytes) -> None:
        """Act on what was read and send what is known by then."""
        self._active_at = self._shared.monotonic()
        self._act_on(self._dict.receive_data(data))
        if not self._dict.line_unfinished:
            self._line_since = None
        elif self._line_since is None or b"\n" in data:
            self._line_since = self._active_at
        self._settle()

    def eof_received(self) -> bool:
        """Keep the connection while replies are owed: a client may shut down its half and wait."""
        self._leaving = True
        return self._owing

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection; what it committed is stored nevertheless."""
        self._closing = True
        self._shared.hold(-self._held)
        self._shared.forget(self)

    def pause_writing(self) -> None:
        """Read no more from a client that does not read."""
        self._blocked_since = self._shared.monotonic()
        self._settle()

    def resume_writing(self) -> None:
        """Go on where reading stopped."""
        if self._closing:
            return
        self._blocked_since = None
        if self._dict.input_waiting:
            self._act_on(self._dict.receive_data(b""))
        self._settle()

    def end(self) -> None:
        """Take nothing more, and close once nothing is owed."""
        self._leaving = True
        self._settle()

    def end_if_quiet(self) -> None:
        """Close a connection that is between two logins. One that has not brought any is about to."""
        if self._committed:
            self._settle()

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        self._transport.abort()

    def check(self, now: float) -> None:
        """Answer or close what has waited too long."""
        limits = self._shared.limits
        if self._unanswered:
            # The next check would come too late.
            too_old = now - limits.commit_s + limits.sweep_s
            if next(iter(self._unanswered.values()))[0] <= too_old:
                self._give_up(too_old, now)
        if self._blocked_since is not None:
            if now - self._blocked_since >= limits.unread_s:
                self._leave("not_reading", "A client does not read its replies; closing it")
                self.abort()
        elif self._unanswered:
            pass
        elif self._line_since is not None:
            if now - self._line_since >= limits.line_s:
                self._leave("slow_line", f"A client did not finish its line within {limits.line_s:g} s; closing it")
                self._settle()
        elif now - self._active_at >= limits.idle_s:
            self._leave("idle", f"A client was idle for {limits.idle_s:g} s; closing it")
            self._settle()

    @property
    def _owing(self) -> bool:
        return bool(self._unanswered) or self._dict.input_waiting

    def _act_on(self, requests: Iterable[Request]) -> None:
        for request in requests:
            if isinstance(request, CommittedWrite):
                self._store(request)
            elif isinstance(request, ProtocolViolation):
                self._leave(request.reason, _WHY.get(request.reason, "A client broke the dict protocol; closing it"))
            else:
                self._shared.stats.refused[request.reason] += 1
                self._shared.warn("dict_refused", request.reason, "Refused what a client asked for")

    def _store(self, write: CommittedWrite) -> None:
        self._committed = True
        service = self._shared.store(write, partial(self._on_outcome, write))
        self._unanswered[write.place] = self._active_at, write, service

    def _on_outcome(self, write: CommittedWrite, outcome: Outcome) -> None:
        waited = self._unanswered.pop(write.place, None)
        if waited is None:
            return
        shared = self._shared
        self._dict.reply(write, outcome)
        self._settle()
        since, _, service = waited
        shared.stats.answered(service, outcome, shared.monotonic() - since)

    def _give_up(self, too_old: float, now: float) -> None:
        for place, (since, write, service) in tuple(self._unanswered.items()):
            if since <= too_old:
                del self._unanswered[place]
                self._shared.give_up()
                self._shared.stats.answered(service, Outcome.UNCONFIRMED, now - since)
                self._dict.reply(write, Outcome.UNCONFIRMED)
        self._settle()

    def _leave(self, reason: CloseReason, sentence: str) -> None:
        if not self._leaving:
            self._leaving = True
            self._shared.close(reason, sentence)

    def _settle(self) -> None:
        """Send what may leave, go on with what waited for that, and see whether to go on reading, or to close."""
        if self._closing:
            return
        connection = self._dict
        while data := connection.data_to_send():
            self._transport.write(data)
            if not connection.input_waiting or self._blocked_since is not None:
                break
            self._act_on(connection.receive_data(b""))
        if connection.held_bytes != self._held:
            self._hold(connection.held_bytes)
        if (self._leaving or (self._shared.draining and self._is_between_logins)) and not self._owing:
            self._close()
            return
        reading = not (connection.full or self._leaving or self._blocked_since is not None)
        if reading is not self._reading:
            self._reading = reading
            if reading:
                self._active_at = self._shared.monotonic()
                self._line_since = self._active_at if connection.line_unfinished else None
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _hold(self, held: int) -> None:
        more, self._held = held - self._held, held
        if self._shared.hold(more):
            return
        self._dict.drop_input()
        self._shared.hold(-held)
        self._held = 0
        self._leave("too_many", "All clients together have begun more than they may; closing one that begins more")

    @property
    def _is_between_logins(self) -> bool:
        return self._committed and not self._dict.transaction_open and not self._dict.line_unfinished

    def _close(self) -> None:
        self._closing = True
        # What was written is still sent; should nobody read it, `check` aborts.
        if self._blocked_since is None:
            self._blocked_since = self._shared.monotonic()
        self._transport.close()
