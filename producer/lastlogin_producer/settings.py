"""Everything about the producer that can be configured; `deploy/producer.toml` shows it with comments."""

import grp
import os
import pwd
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from lastlogin_producer.rule_settings import DictSettings, RuleSettings, UserSettings, problems_of_dicts
from lastlogin_service.kafka import KafkaSettings, TopicSettings
from lastlogin_service.listening import EndpointSettings
from lastlogin_service.logs import ServiceSettings
from lastlogin_service.settings import Section, Whole, matching


_GIB = 1_073_741_824
# sockaddr_un.sun_path has 108 bytes with its closing zero (unix(7)); the socket is made as `<path>.<process id>`, and
# process ids have up to seven digits (PID_MAX_LIMIT).
_SOCKET_PATH_BYTES = 107 - len(".4194304")


def _host_name() -> str:
    """Return this host's full name; where nobody has given it a domain, the short one."""
    name = socket.getfqdn()
    return socket.gethostname() if name.startswith("localhost") else name


class SocketSettings(Section):
    """`[socket]`: where Dovecot finds the producer, and who may connect."""

    path: Path = Path("/run/lastlogin/dict.sock")
    mode: Annotated[str, matching(r"0?[0-7]{3}", 'must be an octal mode in quotes, such as "0660"')] = "0660"
    owner: str | None = None
    group: str | None = None
    # Beside what the mode says; empty: whoever the mode lets in. Dovecot connects as each mail user.
    allowed_users: list[str] = Field(default=[], max_length=1_000)
    # A login holds its connection for a millisecond; so many at once are a flood, or a disk that stands still.
    max_connections: int = Field(default=4_096, ge=1, le=100_000)

    def problems(self) -> Iterator[tuple[str, str]]:
        """The path must fit a socket's address; owner and group must exist."""
        if not self.path.is_absolute() or len(os.fsencode(self.path)) > _SOCKET_PATH_BYTES:
            yield "path", f"must be an absolute path of at most {_SOCKET_PATH_BYTES} bytes"
        if self.owner is not None and not _exists(pwd.getpwnam, self.owner):
            yield "owner", "must be a user of this system"
        if self.group is not None and not _exists(grp.getgrnam, self.group):
            yield "group", "must be a group of this system"
        if not all(user.isdecimal() or _exists(pwd.getpwnam, user) for user in self.allowed_users):
            yield "allowed_users", "must be users of this system, or their numbers"

    @property
    def allowed_uids(self) -> frozenset[int] | None:
        """Numbers of the users who may connect; None: whoever the mode lets in."""
        found = frozenset(int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid for user in self.allowed_users)
        return found or None


class SpoolSettings(Section):
    """`[spool]`: where messages wait for Kafka, and how many may."""

    directory: Path = Path("/var/lib/lastlogin/spool")
    # A day without Kafka at 230 logins a second: 20 million, and 200 bytes each in the file.
    max_bytes: int = Field(default=4 * _GIB, ge=1)
    max_rows: int = Field(default=20_000_000, ge=1)
    # Below the shortest retention that makes sense for a topic; they may take a quarter of the bounds above.
    keep_hours: float = Field(default=24.0, ge=0, le=8_760)

    def problems(self) -> Iterator[tuple[str, str]]:
        """A relative directory would depend on where the service was started."""
        if not self.directory.is_absolute():
            yield "directory", "must be an absolute path"


class PublisherSettings(Section):
    """`[publisher]`: the form in which messages go to Kafka."""

    compression: Literal["none", "gzip", "lz4", "zstd"] = "zstd"
    # Ids that a schema registry gave to our schemas; with one, that message goes out in Confluent's wire format.
    schema_ids: dict[Literal["LoginEvent", "RawWrite"], Annotated[Whole, Field(ge=1, lt=2**31)]] = Field(
        default_factory=dict
    )


class ShutdownSettings(Section):
    """`[shutdown]`: what a stop may take."""

    # systemd kills after 90 s, Kubernetes after 30 s.
    deadline_s: float = Field(default=10.0, ge=0, le=600)


class MetricsSettings(EndpointSettings):
    """`[metrics]`: where metrics and health are served."""

    port: int = Field(default=9_468, ge=0, le=65_535)


class ProducerSettings(ServiceSettings):
    """Settings of `lastlogin-producer`."""

    model_config = SettingsConfigDict(env_prefix="LASTLOGIN_PRODUCER_")

    told_at_start: ClassVar[tuple[str, ...]] = (
        "backend",
        "socket.path",
        "socket.max_connections",
        "dicts",
        "rules",
        "spool.directory",
        "spool.max_bytes",
        "spool.max_rows",
        "spool.keep_hours",
        "kafka.bootstrap_servers",
        "kafka.security_protocol",
        "kafka.request_timeout_ms",
        "topics.events",
        "topics.quarantine",
        "publisher.compression",
        "shutdown.deadline_s",
        "metrics.address",
        "metrics.port",
        "log.level",
    )

    backend: Annotated[
        str, matching(r"[\w.-]{1,253}", "must be a name of letters, digits, dots, hyphens and underscores")
    ] = Field(default_factory=_host_name)
    socket: SocketSettings = SocketSettings()
    # The manual's name.
    dicts: dict[str, DictSettings] = Field(default={"statsdb": DictSettings()}, min_length=1, max_length=100)
    rules: list[RuleSettings] = Field(default=[], max_length=1_000)
    users: UserSettings = UserSettings()
    spool: SpoolSettings = SpoolSettings()
    kafka: KafkaSettings
    topics: TopicSettings = TopicSettings()
    publisher: PublisherSettings = PublisherSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    metrics: MetricsSettings = MetricsSettings()

    def problems(self) -> Iterator[tuple[str, str]]:
        """Dicts must have names that can be asked for; rules are about dicts that there are."""
        yield from problems_of_dicts(self.dicts, self.rules)


def _exists(look_up: Callable[[str], object], name: str) -> bool:
    try:
        look_up(name)
    except (KeyError, ValueError):
        # There is none, or cannot be one: it has a NUL.
        return False
    return True
