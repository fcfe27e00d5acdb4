"""One Kafka broker with rights: who comes without a name may do everything, the user `backend` what it is granted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from lastlogin_schemas.topics import topic_spec
from lastlogin_stack.commands import wipe
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import LOOPBACK, Layout


USER, PASSWORD = "backend", "backend-secret"
_DEADLINE_S = 20.0
# Beside the ports of the layout's own servers.
_SASL_PORT = 94


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
        bindings = [
            AclBinding(
                ResourceType.TOPIC,
                topic,
                ResourcePatternType.LITERAL,
                f"User:{USER}",
                "*",
                AclOperation[operation],
                AclPermissionType.ALLOW,
            )
            for operation in operations
        ]
        admin = self._admin()
        for future in admin.create_acls(bindings).values():
            future.result(_DEADLINE_S)


@contextmanager
def secured_kafka(layout: Layout) -> Iterator[SecuredKafka]:
    """Start it beside the stack of `layout`, and stop it afterwards."""
    own = Layout(layout.directory.with_name(layout.directory.name + "-secured"), layout.base_port + 100)
    own.create()
    secured = SecuredKafka(own)
    plain_login = "org.apache.kafka.common.security.plain.PlainLoginModule"
    kafka = Kafka(
        own,
        properties={
            "listeners": f"PLAINTEXT://{secured.plain},SASL_PLAINTEXT://{secured.sasl},"
            f"CONTROLLER://{LOOPBACK}:{own.kafka_controller_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{plain_login} required user_{USER}="{PASSWORD}";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        },
    )
    try:
        kafka.start()
        kafka.wait_ready()
        yield secured
    finally:
        kafka.stop()
        wipe(own)
