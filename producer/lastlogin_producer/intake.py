"""Taking connections on: from the listening socket to an `Arrival`, and from there to a `Conversation`."""

import asyncio
import errno
import socket
from collections import deque

from lastlogin_producer.arrival import Arrival
from lastlogin_producer.conversation import Conversation
from lastlogin_producer.serving import Shared


# Accepted before replies get their turn again.
_AT_ONCE = 64
# A client closes at once when it has read its reply; so long after, nearly all have.
_POLL_S = 0.002
# Out of file descriptors or memory: what connects waits in the backlog, and we for connections to end.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE_S = 0.1


class Intake:
    """Accepts from a listening socket between `start` and `stop`. For the event loop in which it is made."""

    def __init__(self, shared: Shared) -> None:
        self.loop = asyncio.get_running_loop()
        self.shared = shared
        # Answered, and about to be closed by their clients.
        self.answered: deque[Arrival] = deque()
        self._listening: socket.socket | None = None
        self._polling: asyncio.TimerHandle | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._handing_over: set[asyncio.Task[None]] = set()

    @property
    def accepting(self) -> bool:
        """Whether clients can connect."""
        return self._listening is not None

    def start(self, listening: socket.socket) -> None:
        """Accept from now on; `listening` must not block, and is closed by `stop`."""
        self._listening = listening
        self.loop.add_reader(listening.fileno(), self._accept)

    async def stop(self, most: int) -> None:
        """Take on who has connected already, `most` of them at most, and close the listening socket."""
        if self._listening is None:
            return
        if self._pause is not None:
            self._pause.cancel()
        while most > 0 and self._take(_AT_ONCE):
            most -= _AT_ONCE
            # Replies leave meanwhile.
            await asyncio.sleep(0)
        self.loop.remove_reader(self._listening.fileno())
        self._listening.close()
        self._listening = None
        if self._handing_over:
            await asyncio.wait(self._handing_over)

    def converse(self, arrival: Arrival, client: socket.socket, hello: bytes, data: bytes) -> None:
        """Make a `Conversation` of a connection that began with `hello` if it was answered; `data` comes next."""
        task = self.loop.create_task(self._hand_over(client, Conversation(self.shared, hello, data)))
        self._handing_over.add(task)
        task.add_done_callback(self._handing_over.discard)
        self.left(arrival)

    def left(self, arrival: Arrival) -> None:
        """Forget a connection."""
        self.shared.forget(arrival)

    async def _hand_over(self, client: socket.socket, conversation: Conversation) -> None:
        client.setblocking(False)
        try:
            await self.loop.connect_accepted_socket(lambda: conversation, client)
        except OSError:
            # Closed meanwhile.
            client.close()

    def _accept(self) -> None:
        self._poll()
        self._take(_AT_ONCE)
        if self.answered and self._polling is None:
            self._polling = self.loop.call_later(_POLL_S, self._poll_again)

    def _take(self, most: int) -> bool:
        """Accept up to `most`; False when nobody waits any more."""
        shared, listening = self.shared, self._listening
        assert listening is not None  # noqa: S101 - called between start and stop
        for _ in range(most):
            try:
                client, _address = listening.accept()
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest()
                    return False
                # That client is gone already.
                continue
            shared.stats.accepted += 1
            if len(shared.connections) >= shared.limits.connections:
                client.close()
                shared.turn_away()
                continue
            arrival = Arrival(self, client)
            shared.connections.add(arrival)
            arrival.look()
        return True

    def _rest(self) -> None:
        if self._pause is None and self._listening is not None:
            self.loop.remove_reader(self._listening.fileno())
            self._pause = self.loop.call_later(_PAUSE_S, self._go_on)
            self.shared.warn("few_files", "accept", "No file descriptors or memory for more connections; they wait")

    def _go_on(self) -> None:
        self._pause = None
        if self._listening is not None:
            self.loop.add_reader(self._listening.fileno(), self._accept)

    def _poll(self) -> None:
        answered = self.answered
        for _ in range(len(answered)):
            arrival = answered.popleft()
            if arrival.poll():
                answered.append(arrival)

    def _poll_again(self) -> None:
        self._poll()
        self._polling = self.loop.call_later(_POLL_S, self._poll_again) if self.answered else None
