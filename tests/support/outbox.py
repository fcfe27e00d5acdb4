"""The outbox, as tests drive it; run as a program it is one: `<descriptor of the connection> <directory> <rows>`."""

import os
import socket
import sys
from pathlib import Path

from lastlogin_producer.outbox import Outbox, process
from lastlogin_producer.settings import ProducerSettings, SpoolSettings
from lastlogin_service.kafka import KafkaSettings
from lastlogin_stack.layout import PROJECT_ROOT
from tests.support.spool import BACKEND


def start(directory: Path, *, max_rows: int) -> Outbox:
    """Start one with a spool in `directory`. Not by a fork: the tests' process has had threads and other loops."""
    ours, theirs = socket.socketpair()
    os.set_inheritable(theirs.fileno(), True)
    arguments = [sys.executable, "-m", __name__, str(theirs.fileno()), str(directory), str(max_rows)]
    pid = os.posix_spawn(sys.executable, arguments, os.environ | {"PYTHONPATH": str(PROJECT_ROOT)})
    theirs.close()
    ours.setblocking(False)
    return Outbox(pid, ours)


def main(descriptor: str, directory: str, max_rows: str) -> None:
    """Be an outbox; Kafka is nowhere: nobody listens on the discard port."""
    settings = ProducerSettings(
        backend=BACKEND,
        spool=SpoolSettings(directory=Path(directory), max_rows=int(max_rows)),
        kafka=KafkaSettings(bootstrap_servers=["127.0.0.1:9"]),
    )
    process.run(settings, socket.socket(fileno=int(descriptor)), os.getppid())


if __name__ == "__main__":
    main(*sys.argv[1:])
