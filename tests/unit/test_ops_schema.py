"""The CQL that a table needs."""

from collections import Counter

import pytest

from lastlogin_ops.schema import statements
from lastlogin_schemas.table import ServiceColumns, TableMapping
from lastlogin_service.exits import CONFIG, Exit


WANTED = TableMapping("k", "t", services={"imap": ServiceColumns("at", "ip")})
USER = ("user", "partition_key", "text")
CREATE = "CREATE TABLE IF NOT EXISTS k.t (user text, at timestamp, ip inet, PRIMARY KEY (user))"


def test_no_table() -> None:
    """It is made; where there is no keyspace either, that first, with three replicas or as many as there are nodes."""
    assert [CREATE] == statements(WANTED, [], None)
    assert [
        "CREATE KEYSPACE IF NOT EXISTS k WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 2}",
        CREATE,
    ] == statements(WANTED, [], Counter({"dc1": 5, "dc2": 2}))


def test_columns() -> None:
    """Those that lack are added, all at once; others do not matter."""
    columns = [USER, ("note", "regular", "blob"), ("at", "regular", "timestamp")]

    assert ["ALTER TABLE k.t ADD (ip inet)"] == statements(WANTED, columns, None)
    assert [] == statements(WANTED, [*columns, ("ip", "regular", "inet")], None)


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ([USER, ("at", "regular", "bigint")], "at is bigint, must be timestamp"),
        ([USER, ("service", "clustering", "text")], "its key is service, user, must be user"),
        ([("user", "partition_key", "blob")], "user is blob, must be text"),
    ],
)
def test_another_table(columns: list[tuple[str, str, str]], fault: str) -> None:
    """What no CQL can change is told, and nothing is run."""
    with pytest.raises(Exit) as caught:
        statements(WANTED, columns, None)

    assert CONFIG == caught.value.code
    assert fault in caught.value.message
