"""What a service tells its service manager, read as systemd reads it."""

import socket
import time
from pathlib import Path
from typing import Self


class ServiceManager:
    """The socket that `NOTIFY_SOCKET` names; `address` may name an abstract one: `@name`."""

    def __init__(self, address: str | Path) -> None:
        self.address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.address[1:] if self.address[0] == "@" else self.address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def told(self) -> list[str]:
        """Everything that has arrived by now."""
        found = []
        self._socket.setblocking(False)
        while True:
            try:
                found.append(self._socket.recv(4_096).decode())
            except BlockingIOError:
                return found

    def wait_for(self, message: str, deadline_s: float = 30.0) -> None:
        """Read until `message` begins one, whatever else comes meanwhile. Raises TimeoutError."""
        ends_at = time.monotonic() + deadline_s
        while True:
            # Zero would mean not to wait, and another error.
            self._socket.settimeout(max(0.001, ends_at - time.monotonic()))
            if self._socket.recv(4_096).decode().startswith(message):
                return
            if time.monotonic() > ends_at:
                raise TimeoutError
