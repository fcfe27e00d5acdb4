"""Our own services and the command, run as a user runs them: the installed scripts with settings files."""

import json
import os
import socket
import subprocess
import sys
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias
from urllib.error import HTTPError
from urllib.request import urlopen

from cassandra import DriverException
from cassandra.cluster import NoHostAvailable

from lastlogin_stack.errors import NotReady, StackError
from lastlogin_stack.kafka import CLUSTER, CLUSTER_MIN_INSYNC_REPLICAS, cluster_bootstrap
from lastlogin_stack.layout import LOOPBACK, Layout
from lastlogin_stack.readback import StatsTable
from lastlogin_stack.server import PROBE_TIMEOUT_S, Server


Tables: TypeAlias = Mapping[str, Mapping[str, str | int | float | list[str]]]

# Enough to see several partitions at work; one broker has room for more, and nobody needs them here.
_PARTITIONS = 6


def render_toml(tables: Tables) -> str:
    """Return settings as TOML. JSON's strings, numbers and lists of strings are TOML's as well."""
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )


def kafka_table(layout: Layout) -> dict[str, list[str]]:
    """Return `[kafka]` of every settings file."""
    return {"bootstrap_servers": [layout.kafka_bootstrap]}


def cassandra_table(layout: Layout) -> dict[str, list[str] | int]:
    """Return `[cassandra]` of every settings file."""
    return {"contact_points": [layout.cassandra_address], "port": layout.cassandra_port}


class Service(Server):
    """One of our services; `environ` overrides its settings by its own variables, all others of its are dropped."""

    script: str
    variable_prefix: str
    start_deadline_s = 30.0
    stop_deadline_s = 15.0  # its own shutdown deadline of 10 s, and the time to disconnect

    def __init__(self, layout: Layout, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(layout)
        self.directory = layout.services_directory
        self.settings_file = self.directory / f"{self.name}.toml"
        self._overrides = environ or {}

    @property
    def ports(self) -> tuple[int, ...]:
        """None."""
        return ()

    @abstractmethod
    def settings(self) -> Tables:
        """Return what its settings file says."""

    def prepare(self) -> None:
        """Write its settings file."""
        self.settings_file.write_text(render_toml(self.settings()), encoding="utf-8")

    def command(self) -> list[str]:
        """Return the installed script with its settings file."""
        return [_script(self.script), "--config", str(self.settings_file)]

    def environ(self) -> Mapping[str, str]:
        """Return ours, of which only what was asked for configures the service."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(self.variable_prefix)}
        return kept | dict(self._overrides)


class ProducerService(Service):
    """`lastlogin-producer` on `layout.dict_socket`; its spool is `layout.services_directory`/spool."""

    name = "producer"
    script = "lastlogin-producer"
    variable_prefix = "LASTLOGIN_PRODUCER_"

    @property
    def ports(self) -> tuple[int, ...]:
        """Metrics and health."""
        return (self.layout.producer_metrics_port,)

    @property
    def spool_file(self) -> Path:
        """What waits for Kafka, and what Kafka has taken lately."""
        return self.directory / "spool" / "spool.sqlite"

    @property
    def endpoint(self) -> str:
        """Where Dovecot finds it."""
        return str(self.layout.dict_socket)

    def settings(self) -> Tables:
        """Everybody may connect to the socket: as root, Dovecot does so under a user id of its own."""
        return {
            "socket": {"path": str(self.layout.dict_socket), "mode": "0666"},
            "spool": {"directory": str(self.spool_file.parent)},
            "kafka": kafka_table(self.layout),
            "metrics": {"port": self.layout.producer_metrics_port},
            "log": {"format": "json"},
        }

    def probe(self) -> None:
        """Connect as Dovecot does."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PROBE_TIMEOUT_S)
            client.connect(str(self.layout.dict_socket))


class ConsumerService(Service):
    """`lastlogin-consumer`, from the topic of this stack into its table."""

    name = "consumer"
    script = "lastlogin-consumer"
    variable_prefix = "LASTLOGIN_CONSUMER_"
    # A killed consumer holds its partitions until its session has timed out.
    start_deadline_s = 90.0

    @property
    def ports(self) -> tuple[int, ...]:
        """Metrics and health."""
        return (self.layout.consumer_metrics_port,)

    @property
    def endpoint(self) -> str:
        """From where to where."""
        return f"{self.layout.kafka_bootstrap} to {self.layout.cassandra_address}:{self.layout.cassandra_port}"

    def settings(self) -> Tables:
        """Kafka and Cassandra of this stack; the rest has defaults."""
        return {
            "kafka": kafka_table(self.layout),
            "cassandra": cassandra_table(self.layout),
            "metrics": {"port": self.layout.consumer_metrics_port},
            "log": {"format": "json"},
        }

    def probe(self) -> None:
        """Ask whether it is ready and has partitions."""
        try:
            self._get("/readyz")
        except HTTPError as error:
            raise NotReady("; ".join(json.loads(error.read())["reasons"])) from None
        if "\nlastlogin_consumer_assigned_partitions 0.0\n" in self._get("/metrics"):
            raise NotReady("it has no partitions yet")

    def _get(self, path: str) -> str:
        url = f"http://{LOOPBACK}:{self.layout.consumer_metrics_port}{path}"
        with urlopen(url, timeout=PROBE_TIMEOUT_S) as answer:
            return str(answer.read(), "utf-8")


def lastlogin_command(layout: Layout, *, cluster: bool = False) -> list[str]:
    """Write the settings of the command `lastlogin` for this stack, or its cluster; return the command with them."""
    settings = layout.services_directory / ("lastlogin-cluster.toml" if cluster else "lastlogin.toml")
    tables: Tables = {
        "kafka": {"bootstrap_servers": cluster_bootstrap(layout)} if cluster else kafka_table(layout),
        "topics": {
            "partitions": _PARTITIONS,
            "replication_factor": len(CLUSTER) if cluster else 1,
            "min_insync_replicas": CLUSTER_MIN_INSYNC_REPLICAS if cluster else 1,
        },
        "cassandra": cassandra_table(layout),
    }
    settings.write_text(render_toml(tables), encoding="utf-8")
    return [_script("lastlogin"), "--config", str(settings)]


def create_topics(layout: Layout) -> None:
    """Make what the services need in Kafka, which answers. Raises `StackError`."""
    _apply_topics(lastlogin_command(layout))


def create_topics_and_table(layout: Layout) -> None:
    """Make what the services need in Kafka and Cassandra, which both answer. Raises `StackError`."""
    create_topics(layout)
    _create_table(layout)


def create_cluster_topics(layout: Layout) -> None:
    """Make our topics in the cluster, whose brokers all answer. Raises `StackError`."""
    _apply_topics(lastlogin_command(layout, cluster=True))


def create_ring_table(layout: Layout) -> None:
    """Make the table on the ring, whose nodes all answer; each of them has every row. Raises `StackError`."""
    _create_table(layout, ring=True)


def _create_table(layout: Layout, *, ring: bool = False) -> None:
    try:
        with StatsTable(layout, ring=ring) as table:
            table.create()
    except (DriverException, NoHostAvailable) as error:
        raise StackError(f"the table could not be made in Cassandra: {error}") from None


def _apply_topics(command: list[str]) -> None:
    # It refuses variables of its prefix that it does not know, such as LASTLOGIN_SOAK.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LASTLOGIN_")}
    done = subprocess.run([*command, "topics", "apply"], capture_output=True, text=True, check=False, env=environ)
    if done.returncode != 0:
        raise StackError(f"`lastlogin topics apply` failed:\n{(done.stdout + done.stderr).strip()}")


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
