"""A dict server that only writes down what Dovecot sends, and says `O` to every commit."""

import socket
import threading
from pathlib import Path
from typing import Self

from tests.support.process import wait_until


class Recorder:
    """Listens at `path` within the `with` block; `conversations` holds the bytes of each connection that has ended."""

    def __init__(self, path: Path) -> None:
        self.conversations: list[bytes] = []
        self._path = path
        self._listening = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        self._listening.bind(str(self._path))
        # Dovecot's mail processes run as users of their own.
        self._path.chmod(0o666)
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._path.unlink(missing_ok=True)

    def next(self) -> bytes:
        """Wait for the next conversation, and take it out."""
        wait_until(lambda: bool(self.conversations))
        return self.conversations.pop(0)

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listening.accept()[0]
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                conversation = b""
                for line in lines:
                    conversation += line
                    if line.startswith(b"C"):
                        connection.sendall(b"O" + line[1:])
                self.conversations.append(conversation)
