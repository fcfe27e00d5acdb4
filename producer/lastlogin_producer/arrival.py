"""A connection that has brought nothing yet, or one login that came whole: nearly all are never anything else.

It is read and written directly. asyncio's transports cost more than all the rest of a login together, so a connection
gets one only when it does anything unusual: it then becomes a `Conversation`, which knows the whole protocol.
"""

import socket
from typing import TYPE_CHECKING

from lastlogin_producer.conversation import Conversation
from lastlogin_producer.dictproto import outcome_line
from lastlogin_producer.outcome import Outcome


if TYPE_CHECKING:
    from lastlogin_producer.intake import Intake


# A login has 200 bytes; more than this is for `Conversation`. The C library hands pieces of up to 1,032 bytes out in
# no time, and this is to be one of them.
_READ_BYTES = 960


class Arrival:
    """One connection, in this order: silent until its first bytes, storing until the outcome, then answered.

    It ends with the client's close, or as a `Conversation`. The server calls `check` regularly.
    """

    __slots__ = (
        "_dict_names",
        "_ended",
        "_hello",
        "_intake",
        "_polled",
        "_service",
        "_since",
        "_socket",
        "_transaction_id",
        "_watched",
        "storing",
    )

    def __init__(self, intake: "Intake", client: socket.SocketType, now: float) -> None:
        self._intake = intake
        self._socket = client
        # When it connected, committed, or was answered.
        self._since = now
        # What a `Conversation` would have to know of the login that was answered.
        self._hello = b""
        self._dict_names = intake.shared.dict_names
        self._transaction_id = b""
        self._service: str | None = None
        self._polled = self._watched = self._ended = False
        self.storing = False

    @property
    def unanswered(self) -> int:
        """Commits whose client waits for the reply."""
        return int(self.storing)

    def look(self) -> None:
        """Read what has come, or wait for it."""
        try:
            data = self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._watch()
            return
        except OSError:
            self._close()
            return
        if not data:
            self._close()
        elif self._hello:
            self._converse(data)
        else:
            self._begin(data)

    def _begin(self, data: bytes) -> None:
        shared = self._intake.shared
        write = shared.whole.read(data)
        if write is None:
            self._converse(data)
            return
        self._hello = data[: data.index(b"\n") + 1]
        self._transaction_id = write.transaction_id
        self._since = shared.monotonic()
        self.storing = True
        self._service = shared.store(write, self._on_outcome)

    def _on_outcome(self, outcome: Outcome) -> None:
        if self.storing:
            self._answer(outcome, self._intake.shared.monotonic())

    def _answer(self, outcome: Outcome, now: float) -> None:
        intake = self._intake
        self.storing = False
        intake.shared.stats.answered(self._service, outcome, now - self._since)
        self._since = now
        try:
            # The first bytes on this connection: there is room for them.
            self._socket.send(outcome_line(outcome, b"C", self._transaction_id), socket.MSG_DONTWAIT)
        except OSError:
            self._close()
            return
        if intake.shared.draining:
            self._close()
        else:
            intake.answered(self)

    def poll(self) -> bool:
        """See whether the client has closed, as it does when it has its reply; True if that is not known yet."""
        try:
            data = self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            if self._polled:
                self._watch()
                return False
            self._polled = True
            return True
        except OSError:
            # Reset, or closed by us meanwhile.
            data = b""
        if data:
            self._converse(data)
        else:
            self._close()
        return False

    def check(self, now: float) -> None:
        """Answer what has waited too long for the spool; leave what is not about to close to a `Conversation`."""
        limits = self._intake.shared.limits
        if self.storing:
            # The next check would come too late.
            if now - self._since >= limits.commit_s - limits.sweep_s:
                self._intake.shared.give_up()
                self._answer(Outcome.UNCONFIRMED, now)
        elif self._watched:
            self._converse(b"")

    def end_if_quiet(self) -> None:
        """Close a connection that is between two logins."""
        if self._hello and not self.storing:
            self._close()

    def end(self) -> None:
        """Close once nothing is owed."""
        if not self.storing:
            self._close()

    def abort(self) -> None:
        """Close at once."""
        self._close()

    def _watch(self) -> None:
        self._watched = True
        self._intake.loop.add_reader(self._socket.fileno(), self._readable)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._intake.loop.remove_reader(self._socket.fileno())

    def _readable(self) -> None:
        self._unwatch()
        self.look()

    def _converse(self, data: bytes) -> None:
        self._unwatch()
        self._ended = True
        conversation = Conversation(self._intake.shared, self._dict_names, self._since, self._hello, data)
        self._intake.converse(self, self._socket, conversation)

    def _close(self) -> None:
        if self._ended:
            return
        self._unwatch()
        self._ended = True
        self.storing = False
        self._socket.close()
        self._intake.shared.forget(self)
