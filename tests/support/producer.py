"""The producer as a process of its own, with socket and spool of a test's own."""

import os
from collections.abc import Sequence
from pathlib import Path

from tests.support.process import ServiceProcess, children, cpu_s, peak_memory_bytes, shared_once_bytes


class ProducerProcess(ServiceProcess):
    """`lastlogin-producer`, everything it makes in `directory`.

    `settings` are variables without their prefix. Without them Kafka is nowhere.
    """

    def __init__(self, directory: Path, name: str = "producer", arguments: Sequence[str] = (), **settings: str) -> None:
        self.socket = directory / "dict.sock"
        own = {
            "BACKEND": "mail1",
            "SOCKET__PATH": str(self.socket),
            "SPOOL__DIRECTORY": str(directory / "spool"),
            # Nobody listens on the discard port.
            "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
            "LOG__FORMAT": "json",
            "METRICS__PORT": "0",
            **settings,
        }
        super().__init__("lastlogin-producer", directory / f"{name}.log", own, arguments)

    @property
    def metrics_port(self) -> int:
        """Port of metrics and health since the last start."""
        return int(self.said("metrics_listening")[-1]["port"])

    def serve(self) -> None:
        """Wait until it listens, after each start."""
        starts = len(self.said("spool_open"))
        self.wait_until(lambda: len(self.said("dict_listening")) >= max(1, starts) and self.socket.exists())

    @property
    def outbox(self) -> int:
        """Process id of its outbox."""
        [pid] = children(self.pid)
        return pid

    def cpu_s(self) -> float:
        """Seconds of CPU that it and its outbox have used."""
        return cpu_s(self.pid) + cpu_s(self.outbox)

    def waited_for_cpu_s(self) -> float:
        """Seconds that its main thread could have run and others did (sched-stats, the second number)."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text("ascii").split()[1]) / 1e9

    def peak_memory_bytes(self) -> int:
        """Most memory that it and its outbox have ever held."""
        return peak_memory_bytes(self.pid, self.outbox)

    def memory_bytes(self) -> int:
        """Memory that it and its outbox hold."""
        return shared_once_bytes(self.pid, self.outbox)

    def virtual_bytes(self) -> int:
        """Address space that it uses now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
