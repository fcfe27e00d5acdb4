"""The CQL that a table needs."""

from collections import Counter

import pytest

from lastlogin_ops.schema import statements
from lastlogin_schemas.columns import Column, Columns
from lastlogin_schemas.errors import TableNotReady
from lastlogin_schemas.table import ServiceColumns, TableMapping


WANTED = TableMapping("k", "t", services={"imap": ServiceColumns("at", "ip")})
USER = {"user": Column("partition_key", "text", 0)}
CREATE = "CREATE TABLE IF NOT EXISTS k.t (user text, at timestamp, ip inet, PRIMARY KEY (user))"


def test_no_table() -> None:
    """It is made; where there is no keyspace either, that first, with three replicas or as many as there are nodes."""
    assert [CREATE] == statements(WANTED, {}, None)
    assert [
        "CREATE KEYSPACE IF NOT EXISTS k WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 2}",
        CREATE,
    ] == statements(WANTED, {}, Counter({"dc1": 5, "dc2": 2}))


def test_columns() -> None:
    """Those that lack are added, all at once; others do not matter."""
    columns = USER | {"note": Column("regular", "blob"), "at": Column("regular", "timestamp")}

    assert ["ALTER TABLE k.t ADD (ip inet)"] == statements(WANTED, columns, None)
    assert [] == statements(WANTED, columns | {"ip": Column("regular", "inet")}, None)


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        (USER | {"at": Column("regular", "bigint")}, "at is bigint, must be timestamp"),
        (USER | {"at": Column("static", "timestamp")}, "at is static timestamp, must be timestamp"),
        (USER | {"service": Column("clustering", "text", 0)}, "is (user, service), must be (user)"),
        ({"user": Column("partition_key", "blob", 0)}, "user is blob, must be text"),
        (USER | {"ip": Column("regular", "text")}, 'ip is text, must be inet; set columns.address_type = "text"'),
    ],
)
def test_another_table(columns: Columns, fault: str) -> None:
    """What no CQL can change is told, and nothing is run."""
    with pytest.raises(TableNotReady) as caught:
        statements(WANTED, columns, None)

    assert fault in str(caught.value)
