"""Where everything of one stack lives: directories, ports, addresses. Two layouts never share any of them."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lastlogin_stack.errors import CONFIG, StackError


PROJECT_ROOT = Path(__file__).resolve().parents[3]
JARS_CACHE = PROJECT_ROOT / ".cache" / "jars"

DIRECTORY_VARIABLE = "LASTLOGIN_STACK_DIR"
PORT_VARIABLE = "LASTLOGIN_STACK_PORT"
DEFAULT_BASE_PORT = 19000
FIRST_PORT = 1024  # below it only root may listen
LAST_PORT = 65535
PORT_SPAN = 99

LOOPBACK = "127.0.0.1"
LOOPBACK_IPV6 = "::1"

# sockaddr_un.sun_path has 108 bytes with its closing zero (unix(7)).
SOCKET_PATH_BYTES = 107
# The longest UNIX socket that Dovecot 2.3 makes below its base_dir with our protocols.
_LONGEST_DOVECOT_SOCKET = "dovecot/run/token-login/imap-urlauth"

# The path stands unquoted in Dovecot's, Kafka's and Java's syntaxes; each gives a meaning to other characters.
_SAFE_PATH = re.compile(r"[\w/.@+~=-]+")

_MARKER = ".lastlogin-stack"
_OWN_NAMES = (
    "kafka",
    "kafka1",
    "kafka2",
    "kafka3",
    "cassandra",
    "cassandra1",
    "cassandra2",
    "cassandra3",
    "dovecot",
    "prometheus",
    "services",
    "logs",
    "pids",
    "dict.sock",
    "lock",
    _MARKER,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """One stack's directory (absolute) and base port; everything else follows from these two.

    Ports are `base_port` + 10 (POP3), 24 (LMTP), 42 (CQL), 43 (IMAP), 68 (the producer's metrics),
    69 (the consumer's metrics), 70 (Cassandra's storage), 71-73 (the cluster of three brokers), 74-76 (its
    controllers), 77-81 (the ring of three Cassandra nodes: CQL and storage of each on an address of its own, JMX of
    each), 90 (Prometheus), 92 (Kafka), 93 (Kafka's controller), 99 (Cassandra's JMX).
    """

    directory: Path
    base_port: int = DEFAULT_BASE_PORT

    @property
    def kafka_bootstrap(self) -> str:
        """Kafka's `host:port` for clients."""
        return f"{LOOPBACK}:{self.kafka_port}"

    @property
    def kafka_port(self) -> int:
        """Kafka's port for clients."""
        return self.base_port + 92

    @property
    def kafka_controller_port(self) -> int:
        """The port on which the KRaft controller listens."""
        return self.base_port + 93

    def cluster_port(self, node: int) -> int:
        """Port for clients of a broker (1 to 3) of the cluster."""
        return self.base_port + 70 + node

    def cluster_controller_port(self, node: int) -> int:
        """Port of the KRaft controller of a broker (1 to 3) of the cluster."""
        return self.base_port + 73 + node

    @property
    def cassandra_address(self) -> str:
        """Cassandra's address for clients."""
        return LOOPBACK

    @property
    def cassandra_port(self) -> int:
        """Cassandra's port for CQL."""
        return self.base_port + 42

    @property
    def cassandra_storage_port(self) -> int:
        """The port between Cassandra nodes; also part of the seed's address."""
        return self.base_port + 70

    @property
    def cassandra_jmx_port(self) -> int:
        """The JMX port for nodetool."""
        return self.base_port + 99

    @property
    def ring_port(self) -> int:
        """The port for CQL of every node of the ring; a driver takes it to be the same on all their addresses."""
        return self.base_port + 77

    @property
    def ring_storage_port(self) -> int:
        """The port between the nodes of the ring."""
        return self.base_port + 78

    def ring_jmx_port(self, node: int) -> int:
        """Port on 127.0.0.1 for nodetool on a node (1 to 3) of the ring."""
        return self.base_port + 78 + node

    @property
    def imap_port(self) -> int:
        """Dovecot's IMAP port."""
        return self.base_port + 43

    @property
    def pop3_port(self) -> int:
        """Dovecot's POP3 port."""
        return self.base_port + 10

    @property
    def lmtp_port(self) -> int:
        """Dovecot's LMTP port."""
        return self.base_port + 24

    @property
    def producer_metrics_port(self) -> int:
        """The port of the producer's metrics and health."""
        return self.base_port + 68

    @property
    def consumer_metrics_port(self) -> int:
        """The port of the consumer's metrics and health."""
        return self.base_port + 69

    @property
    def prometheus_port(self) -> int:
        """Prometheus's port."""
        return self.base_port + 90

    @property
    def dict_socket(self) -> Path:
        """The UNIX socket on which the producer serves Dovecot's dict protocol."""
        return self.directory / "dict.sock"

    @property
    def services_directory(self) -> Path:
        """Settings files of the producer and the consumer, and the producer's spool."""
        return self.directory / "services"

    @property
    def lock_file(self) -> Path:
        """Held by a command that changes the stack, so that two of them take turns."""
        return self.directory / "lock"

    def server_directory(self, name: str) -> Path:
        """Return the directory of one server's configuration and data."""
        return self.directory / name

    def log_file(self, name: str) -> Path:
        """Return the file that takes one server's output since its last start."""
        return self.directory / "logs" / f"{name}.log"

    def pid_file(self, name: str) -> Path:
        """Return the file that names one server's process."""
        return self.directory / "pids" / name

    def check(self) -> None:
        """Raise `StackError` (78) when no stack can live in this directory or on these ports."""
        if not _SAFE_PATH.fullmatch(str(self.directory)):
            raise StackError(
                f"{self.directory}: the stack's directory may hold letters, digits and / . _ - + @ = ~ only; "
                f"choose another one with {DIRECTORY_VARIABLE}",
                code=CONFIG,
            )
        longest = len(os.fsencode(self.directory / _LONGEST_DOVECOT_SOCKET))
        if longest > SOCKET_PATH_BYTES:
            raise StackError(
                f"{self.directory}: the path is {longest - SOCKET_PATH_BYTES} bytes too long for the UNIX sockets "
                f"in it; choose a shorter one with {DIRECTORY_VARIABLE}",
                code=CONFIG,
            )
        if not FIRST_PORT <= self.base_port <= LAST_PORT - PORT_SPAN:
            raise StackError(
                f"{PORT_VARIABLE}: {self.base_port} - must be from {FIRST_PORT} to "
                f"{LAST_PORT - PORT_SPAN}; the {PORT_SPAN} ports above it are used too",
                code=CONFIG,
            )

    def create(self) -> None:
        """Make the directory; raise `StackError` (78) when it, or what in it has one of our names, is not ours."""
        marker = self.directory / _MARKER
        if not marker.exists():
            for name in _OWN_NAMES:
                if (self.directory / name).exists():
                    raise StackError(
                        f"{self.directory / name}: is not the stack's, but in its way; choose another directory "
                        f"with {DIRECTORY_VARIABLE}",
                        code=CONFIG,
                    )
            make_open_directory(self.directory)
            if self.directory.stat().st_uid != os.geteuid():
                raise StackError(
                    f"{self.directory}: belongs to another user; choose another directory with {DIRECTORY_VARIABLE}",
                    code=CONFIG,
                )
            marker.touch()
        for name in ("logs", "pids", "services"):
            make_open_directory(self.directory / name)

    def own_paths(self) -> list[Path]:
        """Return what this stack has made and still exists; nothing when the directory is no stack's."""
        if not (self.directory / _MARKER).exists():
            return []
        return [path for name in _OWN_NAMES if (path := self.directory / name).exists()]


def make_open_directory(path: Path) -> None:
    """Make a directory that other users may enter, whatever the umask says: Dovecot's users must get through."""
    if not path.is_dir():
        make_open_directory(path.parent)
        path.mkdir(exist_ok=True)
        path.chmod(0o755)


def private_parent(directory: Path) -> Path | None:
    """Return what of `directory` and the directories above it other users may not enter, None when they may."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    return next((path for path in (existing, *existing.parents) if not path.stat().st_mode & 0o001), None)


def default_directory(name: str = "", project: Path = PROJECT_ROOT) -> Path:
    """Where a stack lives unless told otherwise: `.stack` in the project, with `name` below it.

    Where servers cannot live in the project, it is a directory below /var/tmp: when its path is too long or has
    blanks in it, and as root when it is in a private home, where the users that Dovecot changes to cannot enter.
    """
    preferred = project / ".stack" / name
    try:
        Layout(preferred).check()
        habitable = os.geteuid() != 0 or private_parent(preferred) is None
    except StackError:
        habitable = False
    if habitable:
        return preferred
    digest = hashlib.sha256(os.fsencode(project)).hexdigest()[:8]
    return Path("/var/tmp") / f"lastlogin-{os.geteuid()}-{digest}" / name  # noqa: S108 - `create` checks whose it is


def layout_from(environ: Mapping[str, str], directory: Path | None = None, base_port: int | None = None) -> Layout:
    """Return the layout of the arguments, else of the environment, else of the defaults.

    Raises `StackError` (78) when the variable for the port is no number.
    """
    chosen = directory or Path(environ.get(DIRECTORY_VARIABLE) or default_directory())
    text = environ.get(PORT_VARIABLE) or str(DEFAULT_BASE_PORT)
    if base_port is None:
        try:
            base_port = int(text)
        except ValueError:
            raise StackError(f"{PORT_VARIABLE}: {text!r} - must be a port number", code=CONFIG) from None
    return Layout(chosen.absolute(), base_port)
