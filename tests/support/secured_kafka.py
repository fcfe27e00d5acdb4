"""One Kafka broker with rights: who comes without a name may do everything, anybody else what it is granted."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from lastlogin_schemas.topics import topic_spec
from lastlogin_stack.commands import wipe
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import LOOPBACK, Layout
from tests.support.certificates import Authority, Signed


USER, PASSWORD = "backend", "backend-secret"
_DEADLINE_S = 20.0
# Beside the ports of the layout's own servers.
_SASL_PORT = 94
_TLS_PORTS = {"SECURE": 50, "EXPIRED": 51, "ELSEWHERE": 52, "MUTUAL": 53}
# A listener that says that it is to be found at the second port, where a test puts a `Gate`.
_BEHIND_PORT, _GATE_PORT = 54, 55
_MECHANISMS = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"


@dataclass(frozen=True, slots=True)
class SecuredKafka:
    """The broker, by its two listeners."""

    layout: Layout

    @property
    def plain(self) -> str:
        """Where nobody is asked for a name."""
        return self.layout.kafka_bootstrap

    @property
    def sasl(self) -> str:
        """Where `USER` logs in with `PASSWORD` (SASL_PLAINTEXT, PLAIN)."""
        return f"{LOOPBACK}:{self.layout.base_port + _SASL_PORT}"

    @property
    def certificates(self) -> Path:
        """Where the CA that signed the brokers' certificates is (`authority.pem`), and another one (`foreign.pem`)."""
        return self.layout.server_directory("kafka") / "certificates"

    def tls(self, listener: str) -> str:
        """Where TLS is spoken.

        SECURE: as it should be. EXPIRED: with a certificate that has. ELSEWHERE: with one of another host. Three with
        login (PLAIN, SCRAM). MUTUAL: without a login, but with a certificate of the client's.
        """
        return f"{LOOPBACK}:{self.layout.base_port + _TLS_PORTS[listener]}"

    @property
    def behind_port(self) -> int:
        """A port without TLS and with logins, whose clients are told that it is `gate_port`."""
        return self.layout.base_port + _BEHIND_PORT

    @property
    def gate_port(self) -> int:
        """Where a test lets clients through to `behind_port`."""
        return self.layout.base_port + _GATE_PORT

    @property
    def login(self) -> dict[str, str]:
        """Settings with which a producer logs in."""
        return {
            "KAFKA__BOOTSTRAP_SERVERS": self.sasl,
            "KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA__SASL_MECHANISM": "PLAIN",
            "KAFKA__SASL_USERNAME": USER,
            "KAFKA__SASL_PASSWORD": PASSWORD,
        }

    def _admin(self) -> AdminClient:
        # Whoever asks it must keep it: with the client go its answers.
        servers: dict[str, Any] = {"bootstrap.servers": self.plain, "log_level": 0}
        return AdminClient(servers)

    def create(self, **configs: str) -> str:
        """Make a topic as `lastlogin topics apply` would, but for `configs`; return its name."""
        name = f"topic-{uuid4().hex[:12]}"
        spec = topic_spec(name, partitions=2, replication_factor=1, min_insync_replicas=1)
        new = NewTopic(name, 2, 1, config=spec.configs | configs)
        admin = self._admin()
        admin.create_topics([new])[name].result(_DEADLINE_S)
        return name

    def grant(self, topic: str, *operations: str) -> None:
        """Allow `USER` these operations on a topic, such as DESCRIBE and WRITE."""
        self.allow(USER, [Right(operation, "topic", topic) for operation in operations])

    def allow(self, user: str, rights: Iterable["Right"]) -> None:
        """Allow a user these rights, and no others."""
        admin = self._admin()
        for future in admin.create_acls([right.binding(user) for right in rights]).values():
            future.result(_DEADLINE_S)

    def forbid(self, user: str) -> None:
        """Take all rights back."""
        everything = AclBindingFilter(
            *(ResourceType.ANY, None, ResourcePatternType.ANY, f"User:{user}", None),
            *(AclOperation.ANY, AclPermissionType.ANY),
        )
        admin = self._admin()
        for future in admin.delete_acls([everything]).values():
            future.result(_DEADLINE_S)

    def set_password(self, user: str, password: str) -> None:
        """Make a user who may log in by SCRAM, or change its password; connections that stand are not ended."""
        admin = self._admin()
        # One at a time: librdkafka takes no two of one user.
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            change: Any = UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, 4096), password.encode())
            admin.alter_user_scram_credentials([change])[user].result(_DEADLINE_S)


@dataclass(frozen=True, slots=True)
class Right:
    """What one ACL allows: an operation (WRITE) on a topic, a group or the cluster."""

    operation: str
    kind: str
    name: str

    def binding(self, user: str) -> AclBinding:
        """Return it as Kafka's client takes it."""
        kind = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "cluster": ResourceType.BROKER}[self.kind]
        operation, literal = AclOperation[self.operation], ResourcePatternType.LITERAL
        return AclBinding(kind, self.name, literal, f"User:{user}", "*", operation, AclPermissionType.ALLOW)


@contextmanager
def secured_kafka(layout: Layout) -> Iterator[SecuredKafka]:
    """Start it beside the stack of `layout`, and stop it afterwards."""
    own = Layout(layout.directory.with_name(layout.directory.name + "-secured"), layout.base_port + 100)
    own.create()
    secured = SecuredKafka(own)
    secured.certificates.mkdir(parents=True)
    authority = Authority(secured.certificates)
    Authority(secured.certificates, "foreign")
    good = authority.sign("kafka")
    signed = {
        "SECURE": good,
        "EXPIRED": authority.sign("expired", days=-1),
        "ELSEWHERE": authority.sign("elsewhere", "DNS:kafka.example.org"),
        "MUTUAL": good,
    }
    kafka = Kafka(own, properties=_properties(secured, authority, signed))
    try:
        kafka.start()
        kafka.wait_ready()
        yield secured
    finally:
        kafka.stop()
        wipe(own)


def _properties(secured: SecuredKafka, authority: Authority, signed: Mapping[str, Signed]) -> dict[str, str]:
    own = secured.layout
    controller = f"{LOOPBACK}:{own.kafka_controller_port}"
    behind = {"BEHIND": f"{LOOPBACK}:{secured.behind_port}"}
    told = {"PLAINTEXT": secured.plain, "SASL_PLAINTEXT": secured.sasl} | {name: secured.tls(name) for name in signed}
    protocols = {name: "SSL" if name == "MUTUAL" else "SASL_SSL" for name in signed}
    protocols |= {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
    protocols |= {"SASL_PLAINTEXT": "SASL_PLAINTEXT", "BEHIND": "SASL_PLAINTEXT"}
    properties = {
        "listeners": _listed(told | behind | {"CONTROLLER": controller}, "://"),
        "advertised.listeners": _listed(told | {"BEHIND": f"{LOOPBACK}:{secured.gate_port}"}, "://"),
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": _listed(protocols, ":"),
        "sasl.enabled.mechanisms": _MECHANISMS,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "ssl.keystore.type": "PEM",
        "ssl.truststore.type": "PEM",
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.mutual.ssl.truststore.location": str(authority.file),
        "listener.name.mutual.ssl.truststore.type": "PEM",
    }
    modules = "org.apache.kafka.common.security"
    for name, protocol in protocols.items():
        listener = f"listener.name.{name.lower()}"
        if protocol.endswith("SSL"):
            properties[f"{listener}.ssl.keystore.location"] = str(signed[name].both)
            properties[f"{listener}.ssl.keystore.type"] = "PEM"
        if protocol.startswith("SASL"):
            plain = f'{modules}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
            properties[f"{listener}.plain.sasl.jaas.config"] = plain
            for mechanism in ("scram-sha-256", "scram-sha-512"):
                scram = f"{modules}.scram.ScramLoginModule required;"
                properties[f"{listener}.{mechanism}.sasl.jaas.config"] = scram
    return properties


def _listed(entries: Mapping[str, str], separator: str) -> str:
    return ",".join(f"{name}{separator}{value}" for name, value in entries.items())
