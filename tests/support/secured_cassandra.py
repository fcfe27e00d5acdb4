"""One Cassandra node that asks for a login, and looks at what its role may do; on one of its ports it speaks TLS."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lastlogin_schemas.table import TableMapping, literal
from lastlogin_stack.cassandra import Cassandra
from lastlogin_stack.commands import wipe
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from lastlogin_stack.server import connects
from tests.support.certificates import Authority
from tests.support.own_table import OwnTable


ADMIN = ("cassandra", "cassandra")  # as Cassandra makes it
ROLE, PASSWORD = "lastlogin_consumer", "consumer-secret"
_TLS_PORT = 56
_SETTINGS = """\
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
role_manager: CassandraRoleManager
permissions_validity: 500ms
credentials_validity: 500ms
native_transport_port_ssl: {port}
client_encryption_options:
  enabled: true
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
  keystore: {certificate}
"""


def tls_port(layout: Layout) -> int:
    """The port with TLS of the node that lives in `layout`."""
    return layout.base_port + _TLS_PORT


class _Asking(Cassandra):
    """The node."""

    certificate: Path

    def prepare(self) -> None:
        """Write its configuration, with ours at the end."""
        super().prepare()
        with (self.directory / "cassandra.yaml").open("a", encoding="utf-8") as yaml:
            yaml.write(_SETTINGS.format(port=tls_port(self.layout), certificate=self.certificate))

    def probe(self) -> None:
        """Log in: it makes the first role a little after it listens."""
        connects(self.address, self.ports[0])
        with StatsTable(self.layout, login=ADMIN):
            pass


@dataclass(frozen=True, slots=True)
class SecuredCassandra:
    """It, with the keyspace, an own table and a role for the consumer."""

    layout: Layout
    table: OwnTable
    # Signed the certificate of the port with TLS.
    ca_file: Path

    @property
    def tls_port(self) -> int:
        """The port with TLS; that of `settings` speaks none."""
        return tls_port(self.layout)

    @property
    def settings(self) -> dict[str, str]:
        """Settings with which a consumer logs in as `ROLE`."""
        return {
            "CASSANDRA__CONTACT_POINTS": self.layout.cassandra_address,
            "CASSANDRA__PORT": str(self.layout.cassandra_port),
            "CASSANDRA__USERNAME": ROLE,
            "CASSANDRA__PASSWORD": PASSWORD,
        }

    def grant(self) -> None:
        """Let the role write the table."""
        self.execute(f"GRANT MODIFY ON TABLE {self._table} TO {ROLE}")

    def revoke(self) -> None:
        """Take that back."""
        self.execute(f"REVOKE MODIFY ON TABLE {self._table} FROM {ROLE}")

    @property
    def _table(self) -> str:
        return TableMapping(table=self.table.name).qualified_table

    def execute(self, statement: str) -> None:
        """Run CQL as who may do all."""
        with StatsTable(self.layout, login=ADMIN) as stats:
            stats.session.execute(statement)


@contextmanager
def secured_cassandra(layout: Layout, **options: str) -> Iterator[SecuredCassandra]:
    """Start it beside the stack of `layout`, and stop it afterwards; the role may do nothing yet.

    `options` are those of `Cassandra`.
    """
    own = Layout(layout.directory.with_name(layout.directory.name + "-asking"), layout.base_port + 100)
    own.create()
    node = _Asking(own, **options)
    node.directory.mkdir()
    authority = Authority(node.directory)
    node.certificate = authority.sign("cassandra").both
    try:
        node.start()
        node.wait_ready()
        with StatsTable(own, login=ADMIN) as stats:
            stats.create()
            stats.session.execute(f"CREATE ROLE {ROLE} WITH LOGIN = true AND PASSWORD = {literal(PASSWORD)}")
        yield SecuredCassandra(own, OwnTable(own, ADMIN), authority.file)
    finally:
        # Not stopped: nothing of it is kept.
        node.kill()
        wipe(own)
