"""What the command line and the demo do with a whole stack: up, status, down, with a line of progress for each step."""

import fcntl
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from functools import partial
from typing import NoReturn

from lastlogin_stack import services
from lastlogin_stack.cassandra import RING, Cassandra
from lastlogin_stack.dovecot import Dovecot
from lastlogin_stack.errors import StackError
from lastlogin_stack.jars import CASSANDRA_JARS, KAFKA_JARS, ensure
from lastlogin_stack.kafka import CLUSTER, Kafka
from lastlogin_stack.layout import Layout, layout_from
from lastlogin_stack.prometheus import Prometheus
from lastlogin_stack.server import Server
from lastlogin_stack.services import (
    ConsumerService,
    ProducerService,
    create_cluster_topics,
    create_ring_table,
    create_topics_and_table,
)


INTERRUPTED = 128 + signal.SIGINT
NOBODY_READS = 128 + signal.SIGPIPE
NOT_ALL_UP = 3  # as `systemctl status`

# In the order in which they are started: our services need topics and a table.
SERVERS: dict[str, Callable[[Layout], Server]] = {
    "kafka": Kafka,
    "cassandra": Cassandra,
    "dovecot": Dovecot,
    "producer": ProducerService,
    "consumer": ConsumerService,
}
# Beside them; only started by name.
BROKERS: dict[str, Callable[[Layout], Server]] = {f"kafka{node}": partial(Kafka, node=node) for node in CLUSTER}
NODES: dict[str, Callable[[Layout], Server]] = {f"cassandra{node}": partial(Cassandra, node=node) for node in RING}
ALL_SERVERS = SERVERS | {"prometheus": Prometheus} | BROKERS | NODES
_SERVICES = {"producer", "consumer"}
_JARS = (
    {"kafka": KAFKA_JARS, "cassandra": CASSANDRA_JARS}
    | dict.fromkeys(BROKERS, KAFKA_JARS)
    | dict.fromkeys(NODES, CASSANDRA_JARS)
)


def start_pipeline(layout: Layout, names: Collection[str] = tuple(SERVERS)) -> None:
    """Start those of `names` that do not run, and wait until all of them answer.

    When it is interrupted or one of them fails, what it has started is stopped again. Raises `StackError`.
    """
    layout.create()
    with _locked(layout):
        chosen = [make(layout) for name, make in ALL_SERVERS.items() if name in names]
        starting = [server for server in chosen if server.process.pid() is None]
        for server in chosen:
            if server not in starting:
                _say(server, "is already up" if server.answers() else "runs, but does not answer yet")
        for server in starting:
            server.check()
        for server in starting:
            if server.name in _JARS:
                ensure(_JARS[server.name], lambda line: print(line, flush=True))
        ours = [server for server in starting if server.name in _SERVICES]
        with ThreadPoolExecutor(len(ALL_SERVERS)) as pool, _undone_on_failure(pool, starting) as begun:
            _start(pool, [server for server in starting if server not in ours], begun)
            if ours:
                _require_answers(layout)
                create_topics_and_table(layout)
                _start(pool, ours, begun)
            if any(server.name in BROKERS for server in chosen):
                create_cluster_topics(layout)
            if any(server.name in NODES for server in chosen):
                create_ring_table(layout)
            # Also those that ran already, and what has begun to hang since.
            list(pool.map(lambda server: server.wait_ready(), chosen))


def running_servers(layout: Layout) -> list[str]:
    """Return the names of the servers that run, answering or not."""
    return [name for name, make in ALL_SERVERS.items() if make(layout).process.pid() is not None]


def print_status(layout: Layout, names: Collection[str]) -> int:
    """Print a line per server; return 0 when all of them answer, else 3."""
    servers = [make(layout) for name, make in ALL_SERVERS.items() if name in names]
    states = [server.status() for server in servers]
    for server, state in zip(servers, states, strict=True):
        if state.pid is None:
            _say(server, state.state)
        else:
            _say(server, f"{state.state}, pid {state.pid}, {state.endpoint}")
    return 0 if all(state.is_up for state in states) else NOT_ALL_UP


def stop_servers(layout: Layout, names: Collection[str] = tuple(ALL_SERVERS), leaving: Collection[str] = ()) -> None:
    """Stop those of `names` that run, except those in `leaving`; their data stays."""
    running = [name for name in running_servers(layout) if name in names and name not in leaving]
    if not running:
        print("nothing runs" if not leaving else "nothing to stop")
        return
    with _locked(layout), ThreadPoolExecutor(len(running)) as pool:
        # Our services first: the consumer then writes what it has, and leaves its group.
        for group in ([n for n in running if n in _SERVICES], [n for n in running if n not in _SERVICES]):
            stopping = {pool.submit(_stop, server): server for server in (ALL_SERVERS[name](layout) for name in group)}
            for future in as_completed(stopping):
                _say(stopping[future], future.result())


def wipe(layout: Layout) -> None:
    """Remove all that the stack has made in its directory, and the directory when nothing else is in it."""
    made = layout.own_paths()
    if not made:
        print(f"{layout.directory}: no data of a stack")
        return
    for path in made:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    if not any(layout.directory.iterdir()):
        layout.directory.rmdir()
    print(f"{layout.directory}: data removed")


def lastlogin_command(layout: Layout) -> list[str]:
    """Return the command `lastlogin` with settings for this stack."""
    return services.lastlogin_command(layout)


def run(action: Callable[[Layout], int], layout: Callable[[], Layout] | None = None, undone: str = "") -> NoReturn:
    """Do `action` with the layout (default: of the environment), and exit with its code.

    Also 69 or 78 with a sentence for `StackError`, 130 for Ctrl-C and SIGTERM, `undone` saying what became
    of what was begun, and 141 when nobody reads the output any more.
    """
    # The client libraries report each refused connection of a server that is still starting.
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        chosen = layout() if layout else layout_from(os.environ)
        chosen.check()
        code = action(chosen)
    except StackError as error:
        print(error, file=sys.stderr)
        code = error.code
    except KeyboardInterrupt:
        print(f"\ninterrupted{undone and '; '}{undone}", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:
        # What is still buffered has to go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = NOBODY_READS
    sys.exit(code)


def _start(pool: ThreadPoolExecutor, servers: Sequence[Server], begun: list[Future[None]]) -> None:
    began = time.monotonic()
    starts = []
    for server in servers:
        _say(server, "starting ...")
        starts.append(pool.submit(server.start))
        begun.append(starts[-1])
    for start in starts:
        start.result()
    waiting = {pool.submit(server.wait_ready): server for server in servers}
    for future in as_completed(waiting):
        future.result()
        _say(waiting[future], f"ready in {time.monotonic() - began:.1f} s on {waiting[future].endpoint}")


@contextmanager
def _undone_on_failure(pool: ThreadPoolExecutor, servers: Sequence[Server]) -> Iterator[list[Future[None]]]:
    """Stop `servers` when the body fails; it adds to the list yielded each start that may be under way."""
    begun: list[Future[None]] = []
    try:
        yield begun
    except BaseException:
        # A second Ctrl-C must not leave half of them running; each stop has its deadline.
        with _interrupts_ignored():
            wait(begun)
            list(pool.map(lambda server: server.stop(), servers))
        raise


def _require_answers(layout: Layout) -> None:
    for server in (Kafka(layout), Cassandra(layout)):
        if not server.answers():
            raise StackError(f"{server.name} does not answer; the producer and the consumer need it")


def _stop(server: Server) -> str:
    began = time.monotonic()
    by_itself = server.stop()
    return f"{'stopped' if by_itself else 'killed'} after {time.monotonic() - began:.1f} s"


def _say(server: Server, what: str) -> None:
    print(f"{server.name:<10} {what}", flush=True)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    with layout.lock_file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another command on this stack ...", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
