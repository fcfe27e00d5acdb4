"""Taking connections on: from the listening socket to an `Arrival`, and from there to a `Conversation`."""

import asyncio
import errno
import os
import socket
from collections import deque
from contextlib import suppress

from lastlogin_producer.arrival import Arrival
from lastlogin_producer.conversation import Conversation
from lastlogin_producer.serving import Shared


# Accepted before replies get their turn again.
_AT_ONCE = 64
# A client closes at once when it has read its reply; so long after, nearly all have.
_POLL_S = 0.002
# The class below `socket.socket`, which takes 1 us more to be made and closed; the numbers as the kernel has them.
_Socket = socket.SocketType
_FAMILY, _KIND = int(socket.AF_UNIX), int(socket.SOCK_STREAM)
# Without a free descriptor or memory for so long, who connects waits in the queue; else the loop would do nothing else.
_REST_S = 0.25


class Intake:
    """Accepts from a listening socket between `start` and `stop`. For the event loop in which it is made."""

    def __init__(self, shared: Shared) -> None:
        self.loop = asyncio.get_running_loop()
        self.shared = shared
        # About to be closed by their clients.
        self._answered: deque[Arrival] = deque()
        self._listening: socket.socket | None = None
        self._polling: asyncio.TimerHandle | None = None
        # Given up for a moment when there is no other descriptor left; None until there is one again.
        self._reserve: int | None = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._resting: asyncio.TimerHandle | None = None
        self._handing_over: set[asyncio.Task[None]] = set()

    def start(self, listening: socket.socket) -> None:
        """Accept from now on; `listening` must not block, and is closed by `stop`."""
        self._listening = listening
        self.loop.add_reader(listening.fileno(), self._accept)

    async def stop(self, most: int) -> None:
        """Take on who has connected already, `most` of them at most, and close the listening socket."""
        assert self._listening is not None  # noqa: S101 - called once, after `start`
        while most > 0 and self._take(_AT_ONCE):
            most -= _AT_ONCE
            # Replies leave meanwhile.
            await asyncio.sleep(0)
        if self._resting is not None:
            self._resting.cancel()
        self.loop.remove_reader(self._listening.fileno())
        self._listening.close()
        self._listening = None
        if self._reserve is not None:
            os.close(self._reserve)
        if self._handing_over:
            await asyncio.wait(self._handing_over)

    def converse(self, arrival: Arrival, client: socket.SocketType, conversation: Conversation) -> None:
        """Go on with `client` as `conversation`, in the place of `arrival`."""
        whole = socket.socket(fileno=client.detach())
        task = self.loop.create_task(self._hand_over(arrival, whole, conversation))
        self._handing_over.add(task)
        task.add_done_callback(self._handing_over.discard)

    def answered(self, arrival: Arrival) -> None:
        """See later whether its client, which has its reply now, has closed."""
        self._answered.append(arrival)
        if self._polling is None:
            self._polling = self.loop.call_later(_POLL_S, self._poll_again)

    async def _hand_over(self, arrival: Arrival, client: socket.socket, conversation: Conversation) -> None:
        client.setblocking(False)
        try:
            await self.loop.connect_accepted_socket(lambda: conversation, client)
        except OSError:
            # Closed meanwhile.
            client.close()
        finally:
            self.shared.forget(arrival)

    def _accept(self) -> None:
        self._take(_AT_ONCE)

    def _take(self, most: int) -> bool:
        """Accept up to `most`; False when nobody waits any more."""
        shared, listening = self.shared, self._listening
        assert listening is not None  # noqa: S101 - called between start and stop
        for _ in range(most):
            try:
                # `accept` asks the socket for its kind each time, which takes longer than accepting.
                descriptor, _address = listening._accept()  # type: ignore[attr-defined]  # noqa: SLF001
            except BlockingIOError:
                return False
            except ConnectionAbortedError:
                # That client is gone already.
                continue
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE) and self._turn_away(listening):
                    continue
                self._rest(error)
                return False
            client = _Socket(_FAMILY, _KIND, 0, descriptor)
            shared.stats.accepted += 1
            if shared.turns_away(client):
                client.close()
                continue
            arrival = Arrival(self, client, shared.monotonic())
            shared.connections.add(arrival)
            arrival.look()
        return True

    def _turn_away(self, listening: socket.socket) -> bool:
        """Without a free descriptor, close who comes at once: in the queue a login would wait, for 30 s."""
        if self._reserve is None:
            return False
        self.shared.warn("few_files", "accept", "No file descriptor is left for another connection; closing it")
        descriptor, self._reserve = self._reserve, None
        os.close(descriptor)
        # Another thread may be quicker than we are, both times.
        with suppress(OSError):
            client, _address = listening.accept()
            client.close()
        self._reserve = _spare_descriptor()
        return self._reserve is not None

    def _rest(self, error: OSError) -> None:
        self.shared.warn("few_files", "rest", f"Cannot take connections on: {error.strerror}; they wait")
        if self._resting is None and self._listening is not None:
            self.loop.remove_reader(self._listening.fileno())
            self._resting = self.loop.call_later(_REST_S, self._go_on)

    def _go_on(self) -> None:
        self._resting = None
        if self._reserve is None:
            self._reserve = _spare_descriptor()
        if self._listening is not None:
            self.loop.add_reader(self._listening.fileno(), self._accept)

    def _poll(self) -> None:
        answered = self._answered
        for _ in range(len(answered)):
            arrival = answered.popleft()
            if arrival.poll():
                answered.append(arrival)

    def _poll_again(self) -> None:
        self._poll()
        self._polling = self.loop.call_later(_POLL_S, self._poll_again) if self._answered else None


def _spare_descriptor() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
