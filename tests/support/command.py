"""The installed commands, run until they end."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lastlogin_stack.layout import Layout


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    code: int
    out: str
    err: str


def ok(script: str) -> str:
    """What --check-config says of a good configuration without a file."""
    return f"environment and defaults, for there is no /etc/lastlogin/{script.removeprefix('lastlogin-')}.toml: ok\n"


def lastlogin(layout: Layout, *arguments: str, **variables: str) -> Ended:
    """Run `lastlogin`; `variables` are settings such as TOPICS__PARTITIONS, besides where the servers are."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LASTLOGIN_")}
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": layout.kafka_bootstrap,
        "CASSANDRA__CONTACT_POINTS": layout.cassandra_address,
        "CASSANDRA__PORT": str(layout.cassandra_port),
    }
    environ |= {f"LASTLOGIN_{name}": value for name, value in (settings | variables).items()}
    environ["TZ"] = "Europe/Berlin"
    script = Path(sys.executable).with_name("lastlogin")
    done = subprocess.run([script, *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


def service(script: str, *arguments: str, prefix: Sequence[str] = (), **variables: str) -> Ended:
    """Run `lastlogin-producer` or `lastlogin-consumer` with these settings alone, such as KAFKA__BOOTSTRAP_SERVERS.

    `prefix` is a command that runs it.
    """
    ours = script.replace("-", "_").upper() + "_"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LASTLOGIN_")}
    environ |= {ours + name: value for name, value in variables.items()}
    command = [*prefix, Path(sys.executable).with_name(script), *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)
