"""What a service tells the service manager that started it (sd_notify(3)); nothing when nobody asked for it."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress


# How often `beat` renews the status where no watchdog asks for more.
_BEAT_S = 10.0


class Notifier:
    """Sends to `NOTIFY_SOCKET`; takes its variables out of `environ`, so that no child speaks for us.

    A manager that does not read is no reason to stop working: what cannot be sent is dropped.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        address = environ.pop("NOTIFY_SOCKET", "")
        watchdog_us, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        # "@" stands for the zero byte with which the names of Linux's abstract sockets begin (unix(7)).
        self._address = "\0" + address[1:] if address.startswith("@") else address
        # Whether anybody listens.
        self.heard = address.startswith(("/", "@"))
        ours = watchdog_us.isdecimal() and pid in ("", str(os.getpid()))
        # One for all messages: without a free descriptor there would be none for the watchdog's.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) if self.heard else None
        # Seconds between two calls of `alive`: half of what the manager waits; None: it does not wait.
        self.watchdog_s = int(watchdog_us) / 2_000_000 if ours and self.heard else None

    def ready(self) -> None:
        """Starting, or reloading, is done."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The service is about to end."""
        self._send("STOPPING=1")

    def status(self, sentence: str) -> None:
        """Show people what the service does. One line: others say, to the manager, something else."""
        self._send(f"STATUS={' '.join(sentence.splitlines())}")

    def alive(self) -> None:
        """Keep the watchdog from killing us; due every `watchdog_s`."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Say nothing any more."""
        if self._socket is not None:
            self._socket.close()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Tell that the configuration is being read again, and the end of that, however it ends."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000}")
        try:
            yield
        finally:
            self.ready()

    def _send(self, message: str) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto(message.encode(), self._address)


async def beat(notifier: Notifier, wrong: Callable[[], Sequence[str]], status: Callable[[], str]) -> None:
    """Feed the watchdog for as long as nothing is `wrong`, and renew the status; a task for the life of the service.

    It runs in the event loop, so that a loop that hangs goes without the watchdog's food, too.
    """
    while True:
        notifier.status(status())
        if not wrong():
            notifier.alive()
        await asyncio.sleep(_BEAT_S if notifier.watchdog_s is None else min(_BEAT_S, notifier.watchdog_s))
