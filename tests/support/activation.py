"""A producer whose listening socket somebody else holds, as systemd does for a socket unit."""

import socket
import sys
from pathlib import Path

from tests.support.producer import ProducerProcess


# As systemd counts and names: from descriptor 3 on, for this process id.
_HAND_OVER = """\
import os, sys
held = sys.argv[1].split(",")
for number, descriptor in enumerate(held):
    os.dup2(int(descriptor), 3 + number)
os.environ.update(LISTEN_FDS=str(len(held)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=":".join(["dict"] * len(held)))
os.execv(sys.argv[2], sys.argv[2:])
"""


class ActivatedProducer(ProducerProcess):
    """A producer that is handed `sockets` at each start; unless given, one that listens on its path.

    The sockets are the test's, and stay open when the producer has ended.
    """

    def __init__(
        self, directory: Path, name: str = "producer", sockets: tuple[socket.socket, ...] = (), **settings: str
    ) -> None:
        super().__init__(directory, name, **settings)
        self.sockets = sockets or (listening(self.socket),)
        # Out of the way of the numbers that they are to have.
        self.descriptors = tuple(each.fileno() for each in self.sockets)
        assert min(self.descriptors) > 2 + len(self.sockets)
        self.starter = [sys.executable, "-I", "-S", "-c", _HAND_OVER, ",".join(map(str, self.descriptors))]

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        for each in self.sockets:
            each.close()

    def serve(self) -> None:
        """Wait until it serves, after each start."""
        self.wait_for("dict_listening", self._starts)


def listening(path: Path) -> socket.socket:
    """A listening socket."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(4_096)
    return listening
