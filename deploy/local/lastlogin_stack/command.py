"""`python -m lastlogin_stack up|status|down`: the real servers on this machine, without Docker."""

import argparse
import fcntl
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from pathlib import Path

from lastlogin_stack.cassandra import Cassandra
from lastlogin_stack.dovecot import Dovecot
from lastlogin_stack.errors import StackError
from lastlogin_stack.jars import CASSANDRA_JARS, KAFKA_JARS, ensure
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import DIRECTORY_VARIABLE, PORT_VARIABLE, Layout, layout_from
from lastlogin_stack.server import Server


INTERRUPTED = 130
NOT_ALL_UP = 3  # as `systemctl status`

SERVERS: dict[str, Callable[[Layout], Server]] = {"kafka": Kafka, "cassandra": Cassandra, "dovecot": Dovecot}
_JARS = {"kafka": KAFKA_JARS, "cassandra": CASSANDRA_JARS}


def up(servers: Sequence[Server]) -> int:
    """Start what does not run, all at once; stop it again when interrupted or when one of them fails."""
    starting = [server for server in servers if server.process.pid() is None]
    for server in servers:
        if server not in starting:
            _say(server, "is already up" if server.answers() else "runs, but does not answer")
    for server in starting:
        server.check()
    for server in starting:
        if server.name in _JARS:
            ensure(_JARS[server.name], lambda line: print(line, flush=True))
    with ThreadPoolExecutor(max(len(starting), 1)) as pool:
        started: list[Future[None]] = []
        try:
            started.extend(pool.submit(server.start) for server in starting)
            for future in started:
                future.result()
            _wait_all_ready(pool, starting)
        except BaseException:
            # A second Ctrl-C must not leave half of them running; each stop has its deadline.
            with _interrupts_ignored():
                wait(started)
                list(pool.map(lambda server: server.stop(), starting))
            raise
    return 0


def status(servers: Sequence[Server]) -> int:
    """Print a line per server."""
    states = [server.status() for server in servers]
    for server, state in zip(servers, states, strict=True):
        if state.pid is None:
            _say(server, "down")
        else:
            _say(server, f"{'up' if state.answers else 'does not answer'}, pid {state.pid}, {state.endpoint}")
    return 0 if all(state.answers for state in states) else NOT_ALL_UP


def down(servers: Sequence[Server]) -> int:
    """Stop what runs, all at once; keep the data."""
    running = [server for server in servers if server.process.pid() is not None]
    if not running:
        print("nothing runs")
        return 0
    with ThreadPoolExecutor(len(running)) as pool:
        stopping = {pool.submit(_stop, server): server for server in running}
        for future in as_completed(stopping):
            _say(stopping[future], future.result())
    return 0


def wipe(layout: Layout) -> None:
    """Remove all that the stack has made in its directory, and the directory when nothing else is in it."""
    for path in layout.own_paths():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    if layout.directory.is_dir() and not any(layout.directory.iterdir()):
        layout.directory.rmdir()
    print(f"{layout.directory}: data removed")


def _wait_all_ready(pool: ThreadPoolExecutor, servers: Sequence[Server]) -> None:
    begun = time.monotonic()
    waiting: dict[Future[float], Server] = {}
    for server in servers:
        _say(server, "starting ...")
        waiting[pool.submit(server.wait_ready)] = server
    for future in as_completed(waiting):
        future.result()
        _say(waiting[future], f"ready in {time.monotonic() - begun:.1f} s on {waiting[future].endpoint}")


def _stop(server: Server) -> str:
    begun = time.monotonic()
    by_itself = server.stop()
    return f"{'stopped' if by_itself else 'killed'} after {time.monotonic() - begun:.1f} s"


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


def _run(arguments: argparse.Namespace) -> int:
    layout = layout_from(os.environ, arguments.dir, arguments.base_port)
    layout.check()
    chosen = [SERVERS[name](layout) for name in arguments.servers or SERVERS]
    if arguments.verb == "status":
        return status(chosen)
    if arguments.verb == "up":
        layout.create()
        with _locked(layout):
            return up(chosen)
    if not layout.own_paths():
        print("nothing runs")
        return 0
    with _locked(layout):
        code = down(chosen)
        if arguments.wipe:
            wipe(layout)
        return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lastlogin_stack", description=__doc__)
    parser.add_argument("verb", choices=("up", "status", "down"))
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"one of {', '.join(SERVERS)} (default: all)")
    parser.add_argument("--dir", type=Path, help=f"the stack's directory ({DIRECTORY_VARIABLE}; default .stack)")
    parser.add_argument("--base-port", type=int, help=f"first of its 100 ports ({PORT_VARIABLE}; default 19000)")
    parser.add_argument("--wipe", action="store_true", help="down: also remove all data of the stack")
    return parser


def main() -> None:
    """Run one verb and exit: 0, 3 (status: not all up), 69, 78, 130, or 2 for a wrong command line."""
    parser = _parser()
    arguments = parser.parse_args()
    for name in arguments.servers:
        if name not in SERVERS:
            parser.error(f"{name}: no such server; there are {', '.join(SERVERS)}")
    if arguments.wipe and (arguments.verb != "down" or arguments.servers):
        parser.error("--wipe goes with `down` of all servers")
    # The client libraries report each refused connection of a server that is still starting.
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = _run(arguments)
    except StackError as error:
        print(error, file=sys.stderr)
        code = error.code
    except KeyboardInterrupt:
        undone = "what it had started is stopped again" if arguments.verb == "up" else "some may still run"
        print(f"\n{arguments.verb} interrupted; {undone}", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)
