"""The producer as a process of its own, with socket and spool of a test's own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self


_PREFIX = "LASTLOGIN_PRODUCER_"
_POLL_S = 0.01


class ProducerProcess:
    """`lastlogin-producer`, everything it makes in `directory`; ends with the `with` block, whatever happened.

    `settings` are variables without their prefix. Without them Kafka is nowhere.
    """

    def __init__(self, directory: Path, name: str = "producer", **settings: str) -> None:
        self.socket = directory / "dict.sock"
        self._log = directory / f"{name}.log"
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
        self._environ = {key: value for key, value in os.environ.items() if not key.startswith(_PREFIX)}
        self._environ |= {_PREFIX + key: value for key, value in own.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def metrics_port(self) -> int:
        """Port of metrics and health since the last start."""
        return int(self.said("metrics_listening")[-1]["port"])

    def start(self) -> None:
        """Start it, once more after it has ended."""
        script = str(Path(sys.executable).with_name("lastlogin-producer"))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([script], env=self._environ, stdout=log, stderr=log)

    def serve(self) -> None:
        """Wait until it listens, after each start."""
        starts = len(self.said("spool_open"))
        self.wait_until(lambda: len(self.said("dict_listening")) >= max(1, starts) and self.socket.exists())

    def kill(self) -> None:
        """SIGKILL it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, deadline_s: float = 15.0) -> int:
        """SIGTERM it, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self.wait(deadline_s)

    def wait(self, deadline_s: float = 15.0) -> int:
        """Wait until it ends, and return its exit code."""
        assert self._process is not None
        return self._process.wait(deadline_s)

    def output(self) -> str:
        """Everything it has written to standard output and standard error."""
        return self._log.read_text("utf-8")

    def said(self, action: str) -> list[dict[str, Any]]:
        """Its log lines with this `action`."""
        lines = [json.loads(line) for line in self.output().splitlines() if line.startswith("{") and line[-1] == "}"]
        return [line for line in lines if line.get("action") == action]

    def wait_until(self, condition: Callable[[], bool], deadline_s: float = 30.0) -> None:
        """Wait until `condition` holds. Raises TimeoutError with what the process has said."""
        deadline = time.monotonic() + deadline_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(self.output()[-4000:])
            time.sleep(_POLL_S)

    def cpu_s(self) -> float:
        """Seconds of CPU that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_rss_bytes(self) -> int:
        """Most memory that it has ever held."""
        status = Path(f"/proc/{self.pid}/status").read_text("ascii")
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024
