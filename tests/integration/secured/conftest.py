"""A Kafka and a Cassandra that ask who is there: TLS, logins, and the rights that the documentation names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lastlogin_schemas.table import literal
from lastlogin_stack.layout import LOOPBACK, Layout
from tests.support.command import Ended, service
from tests.support.documented_rights import cassandra_rights, kafka_rights
from tests.support.secured_cassandra import SecuredCassandra, secured_cassandra
from tests.support.secured_kafka import SecuredKafka


PRODUCER, CONSUMER, OPS = "lastlogin-producer", "lastlogin-consumer", "lastlogin"
ADMIN, CARE = "lastlogin-admin", "lastlogin_care"
SUBSCRIBER = "fraud-check"
# Nowhere else in what a test prints.
PASSWORD = "Zq7-pass-Xk9"


@dataclass(frozen=True, slots=True)
class Secured:
    """Both servers. Passwords are in files, as in production: `password_file` has the right one."""

    kafka: SecuredKafka
    cassandra: SecuredCassandra
    directory: Path

    @property
    def password_file(self) -> str:
        """Of every user and role."""
        return str(self.directory / "password")

    def to_kafka(self, user: str, **changes: str) -> dict[str, str]:
        """Settings with which `user` is let in; an empty value takes one away."""
        good = {
            "BOOTSTRAP_SERVERS": self.kafka.tls("SECURE"),
            "SECURITY_PROTOCOL": "SASL_SSL",
            "CA_FILE": str(self.kafka.certificates / "authority.pem"),
            "SASL_USERNAME": user,
            "SASL_PASSWORD_FILE": self.password_file,
        }
        return {f"KAFKA__{key}": value for key, value in (good | changes).items() if value}

    def to_cassandra(self, role: str, **changes: str) -> dict[str, str]:
        """Settings with which `role` is let in; an empty value takes one away."""
        good = {
            "CONTACT_POINTS": LOOPBACK,
            "PORT": str(self.cassandra.tls_port),
            "TLS": "true",
            "CA_FILE": str(self.cassandra.ca_file),
            "USERNAME": role,
            "PASSWORD_FILE": self.password_file,
        }
        return {f"CASSANDRA__{key}": value for key, value in (good | changes).items() if value}

    def run(self, script: str, *arguments: str, **settings: str) -> Ended:
        """Run a command to its end. It never says the password."""
        ended = service(script, *arguments, **settings)
        assert PASSWORD not in ended.out + ended.err
        return ended


def make_role(cassandra: SecuredCassandra, role: str, password: str) -> None:
    """Make a role with the rights that README.md gives it; anew, for Cassandra changes a password every 5 s at most."""
    cassandra.execute(f"DROP ROLE IF EXISTS {role}")
    cassandra.execute(f"CREATE ROLE {role} WITH LOGIN = true AND PASSWORD = {literal(password)}")
    for grant in cassandra_rights(role):
        cassandra.execute(grant)


@pytest.fixture(scope="session")
def cassandra_with_rights(layout: Layout) -> Iterator[SecuredCassandra]:
    """A node with logins, TLS and rights."""
    with secured_cassandra(layout) as cassandra:
        yield cassandra


@pytest.fixture(scope="session")
def secured(
    kafka_with_rights: SecuredKafka,
    cassandra_with_rights: SecuredCassandra,
    tmp_path_factory: pytest.TempPathFactory,
) -> Secured:
    """Both, with users and roles that have what README.md gives them, and nothing else."""
    kafka, cassandra = kafka_with_rights, cassandra_with_rights
    directory = tmp_path_factory.mktemp("secured")
    (directory / "password").write_text(f"{PASSWORD}\n")
    (directory / "password").chmod(0o400)
    for user in (PRODUCER, CONSUMER, ADMIN, SUBSCRIBER):
        kafka.set_password(user, PASSWORD)
        kafka.allow(user, kafka_rights(user))
    for role in ("lastlogin_consumer", CARE):
        make_role(cassandra, role, PASSWORD)
    made = Secured(kafka, cassandra, directory)
    single = {"TOPICS__REPLICATION_FACTOR": "1", "TOPICS__MIN_INSYNC_REPLICAS": "1", "TOPICS__PARTITIONS": "2"}
    applied = made.run(OPS, "topics", "apply", **made.to_kafka(ADMIN), **single)
    assert 0 == applied.code, applied.err
    return made
