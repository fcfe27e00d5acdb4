"""One Cassandra node that asks for a login, and looks at what its role may do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lastlogin_schemas.table import TableMapping, literal
from lastlogin_stack.cassandra import Cassandra
from lastlogin_stack.commands import wipe
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from lastlogin_stack.server import connects
from tests.support.own_table import OwnTable


ADMIN = ("cassandra", "cassandra")  # as Cassandra makes it
ROLE, PASSWORD = "lastlogin_consumer", "consumer-secret"
_SETTINGS = """\
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
role_manager: CassandraRoleManager
"""


class _Asking(Cassandra):
    """The node."""

    def prepare(self) -> None:
        """Write its configuration, with ours at the end."""
        super().prepare()
        with (self.directory / "cassandra.yaml").open("a", encoding="utf-8") as yaml:
            yaml.write(_SETTINGS)

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
        self._execute(f"GRANT MODIFY ON TABLE {self._table} TO {ROLE}")

    def revoke(self) -> None:
        """Take that back."""
        self._execute(f"REVOKE MODIFY ON TABLE {self._table} FROM {ROLE}")

    @property
    def _table(self) -> str:
        return TableMapping(table=self.table.name).qualified_table

    def _execute(self, statement: str) -> None:
        with StatsTable(self.layout, login=ADMIN) as stats:
            stats.session.execute(statement)


@contextmanager
def secured_cassandra(layout: Layout) -> Iterator[SecuredCassandra]:
    """Start it beside the stack of `layout`, and stop it afterwards; the role may do nothing yet."""
    own = Layout(layout.directory.with_name(layout.directory.name + "-secured"), layout.base_port + 100)
    own.create()
    node = _Asking(own)
    try:
        node.start()
        node.wait_ready()
        with StatsTable(own, login=ADMIN) as stats:
            stats.create()
            stats.session.execute(f"CREATE ROLE {ROLE} WITH LOGIN = true AND PASSWORD = {literal(PASSWORD)}")
        yield SecuredCassandra(own, OwnTable(own, ADMIN))
    finally:
        # Not stopped: nothing of it is kept.
        node.kill()
        wipe(own)
