"""Which tables can be written, and how the others are told."""

import pytest

from lastlogin_consumer.columns import Column, usable_part
from lastlogin_consumer.errors import TableNotReady
from lastlogin_schemas.table import ServiceColumns, TableMapping


WANTED = TableMapping()
USER = {"user": Column("partition_key", "text")}


def regular(**types: str) -> dict[str, Column]:
    """The user's column, and these."""
    return USER | {name: Column("regular", type_name) for name, type_name in types.items()}


def test_some_services() -> None:
    """What the table has is used; columns that are none of ours do not matter."""
    found = usable_part(WANTED, regular(last_login_imap="timestamp", last_login_pop3="timestamp", note="blob"))

    assert {
        "imap": ServiceColumns("last_login_imap", None),
        "pop3": ServiceColumns("last_login_pop3", None),
    } == found.services


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            {},
            (
                "cassandra.keyspace, cassandra.table: there is no table statsdb.dovecot_stats; make it with "
                "`cqlsh -f tables.cql`"
            ),
        ),
        (
            {"userid": Column("partition_key", "text"), "service": Column("clustering", "text")},
            (
                "the primary key of the table statsdb.dovecot_stats is (userid, service), must be (user); make another "
                "table with `cqlsh -f tables.cql`"
            ),
        ),
        (
            regular(last_login="timestamp"),
            (
                "the table statsdb.dovecot_stats has none of the columns last_login_imap, last_login_pop3, "
                "last_login_webmail, last_login_lmtp; add them with `cqlsh -f tables.cql`, or one with ALTER TABLE "
                "statsdb.dovecot_stats ADD last_login_imap timestamp"
            ),
        ),
        (
            regular(last_login_imap="bigint", last_login_pop3="timestamp", remote_ip_pop3="text"),
            (
                "columns of the table statsdb.dovecot_stats have another type: last_login_imap is bigint, must be "
                "timestamp, remote_ip_pop3 is text, must be inet; Cassandra cannot change it: make another table with "
                "`cqlsh -f tables.cql`"
            ),
        ),
        (
            {"user": Column("partition_key", "blob"), "last_login_imap": Column("regular", "timestamp")},
            (
                "columns of the table statsdb.dovecot_stats have another type: user is blob, must be text; Cassandra "
                "cannot change it: make another table with `cqlsh -f tables.cql`"
            ),
        ),
    ],
)
def test_tables_that_cannot_be_written(columns: dict[str, Column], sentence: str) -> None:
    """Each is a sentence with the columns and what to do."""
    with pytest.raises(TableNotReady) as caught:
        usable_part(WANTED, columns)

    assert sentence == str(caught.value)
