"""The command line of `python -m lastlogin_stack`."""

import argparse
import os
from pathlib import Path

from lastlogin_stack.commands import (
    ALL_SERVERS,
    SERVERS,
    print_status,
    run,
    running_servers,
    start_pipeline,
    stop_servers,
    wipe,
)
from lastlogin_stack.layout import DIRECTORY_VARIABLE, PORT_VARIABLE, Layout, layout_from


def main() -> None:
    """Run one verb and exit: 0, 3 (status: not all up), 69, 78, 130, 141, or 2 for a wrong command line."""
    parser = _parser()
    arguments = parser.parse_args()
    for name in arguments.servers:
        if name not in ALL_SERVERS:
            parser.error(f"{name}: no such server; there are {', '.join(ALL_SERVERS)}")
    if arguments.wipe and (arguments.verb != "down" or arguments.servers):
        parser.error("--wipe goes with `down` of all servers")
    # Prometheus, the three brokers and the three nodes are only started by name, but no verb leaves them behind.
    names = arguments.servers or list(SERVERS if arguments.verb == "up" else ALL_SERVERS)

    def act(layout: Layout) -> int:
        if arguments.verb == "status":
            # Nobody misses those that are only started by name.
            return print_status(layout, arguments.servers or {*SERVERS, *running_servers(layout)})
        if arguments.verb == "up":
            start_pipeline(layout, names)
        else:
            stop_servers(layout, names)
            if arguments.wipe:
                wipe(layout)
        return 0

    run(
        act,
        lambda: layout_from(os.environ, arguments.dir, arguments.base_port),
        undone="what it had started is stopped again" if arguments.verb == "up" else "",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lastlogin_stack",
        description="Kafka, Cassandra, Dovecot and our services on this machine, without Docker.",
    )
    parser.add_argument("verb", choices=("up", "status", "down"))
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"one of {', '.join(ALL_SERVERS)} (default: all)")
    parser.add_argument("--dir", type=Path, help=f"the stack's directory ({DIRECTORY_VARIABLE}; default .stack)")
    parser.add_argument("--base-port", type=int, help=f"first of its 100 ports ({PORT_VARIABLE}; default 19000)")
    parser.add_argument("--wipe", action="store_true", help="down: also remove all data of the stack")
    return parser
