"""Which tables can be written, and how the others are told."""

import pytest

from lastlogin_schemas.columns import Column, require_columns, usable_part
from lastlogin_schemas.errors import TableNotReady
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


def by_service(*partition: str, clustering: tuple[str, ...] = (), **types: str) -> dict[str, Column]:
    """A table with a row per user and service; names that the alphabet sorts otherwise than their positions."""
    key = {name: Column("partition_key", "text", number) for number, name in enumerate(partition)}
    key |= {name: Column("clustering", "text", number) for number, name in enumerate(clustering)}
    return key | {name: Column("regular", type_name) for name, type_name in types.items()}


BY_SERVICE = TableMapping(
    "k",
    "t",
    "userid",
    {service: ServiceColumns("last_access", "last_ip") for service in ("imap", "pop3")},
    "service",
    "text",
)


def test_a_row_per_service() -> None:
    """User and service may share the partition key, in either order, or the service may sort rows within a user's."""
    columns = {"last_access": "timestamp", "last_ip": "text"}
    sorted_by_service = usable_part(BY_SERVICE, by_service("userid", clustering=("service",), **columns))
    together = usable_part(BY_SERVICE, by_service("userid", "service", **columns))
    reversed_key = usable_part(BY_SERVICE, by_service("service", "userid", **columns))

    assert b"a" == sorted_by_service.partition_key("a", "imap")
    assert b"\0\1a\0\0\4imap\0" == together.partition_key("a", "imap")
    assert b"\0\4imap\0\0\1a\0" == reversed_key.partition_key("a", "imap")
    assert (True, False, False) == (sorted_by_service.is_by_user, together.is_by_user, reversed_key.is_by_user)


def test_names_with_capitals() -> None:
    """Who may have made the table without quotes is told that its name is another."""
    with pytest.raises(TableNotReady, match=r'no table k\."T" \(names made without quotes are in small letters'):
        usable_part(TableMapping("k", "T"), {})


@pytest.mark.parametrize(
    ("wanted", "columns", "sentence"),
    [
        (
            WANTED,
            {},
            (
                "there is no table statsdb.dovecot_stats: check cassandra.keyspace and cassandra.table, or make it "
                "with `lastlogin schema apply`, or in cqlsh: CREATE TABLE IF NOT EXISTS statsdb.dovecot_stats (user "
                "text, last_login_imap timestamp, remote_ip_imap inet, last_login_pop3 timestamp, remote_ip_pop3 "
                "inet, last_login_webmail timestamp, remote_ip_webmail inet, last_login_lmtp timestamp, "
                "remote_ip_lmtp inet, "
                "PRIMARY KEY (user))"
            ),
        ),
        (
            WANTED,
            by_service("userid", clustering=("service",)),
            (
                "the primary key of the table statsdb.dovecot_stats is (userid, service), must be (user); say in "
                "[columns] what its columns hold, or name another table in cassandra.table"
            ),
        ),
        (
            BY_SERVICE,
            by_service("userid", "domain", clustering=("service",)),
            "the primary key of the table k.t is ((userid, domain), service), must be (userid, service); say in ",
        ),
        (
            BY_SERVICE,
            by_service("service", clustering=("userid",)),
            "the primary key of the table k.t is (service, userid), must be (userid, service); say in ",
        ),
        (
            WANTED,
            regular(last_login="timestamp"),
            (
                "the table statsdb.dovecot_stats has none of the columns last_login_imap, last_login_pop3, "
                "last_login_webmail, last_login_lmtp; see [columns], or add them with `lastlogin schema apply`, or in "
                "cqlsh: ALTER TABLE statsdb.dovecot_stats ADD (last_login_imap timestamp, remote_ip_imap inet, "
            ),
        ),
        (
            WANTED,
            regular(last_login_imap="bigint", last_login_pop3="timestamp", remote_ip_pop3="text"),
            (
                "columns of the table statsdb.dovecot_stats have another type: last_login_imap is bigint, must be "
                "timestamp, remote_ip_pop3 is text, must be inet; Cassandra cannot change it: make another table, and "
                "name it in cassandra.table"
            ),
        ),
        (
            WANTED,
            regular(last_login_imap="timestamp", remote_ip_imap="text", last_login_pop3="timestamp"),
            (
                "columns of the table statsdb.dovecot_stats have another type: remote_ip_imap is text, must be inet; "
                'set columns.address_type = "text"'
            ),
        ),
        (
            BY_SERVICE,
            by_service("userid", clustering=("service",), last_access="timestamp", last_ip="inet"),
            "columns of the table k.t have another type: last_ip is inet, must be text; set columns.address_type = ",
        ),
        (
            BY_SERVICE,
            by_service("userid", clustering=("service",)) | {"last_access": Column("static", "timestamp")},
            "columns of the table k.t have another type: last_access is static timestamp, must be timestamp; ",
        ),
        (
            WANTED,
            {"user": Column("partition_key", "blob"), "last_login_imap": Column("regular", "timestamp")},
            (
                "columns of the table statsdb.dovecot_stats have another type: user is blob, must be text; Cassandra "
                "cannot change it: make another table, and name it in cassandra.table"
            ),
        ),
    ],
)
def test_tables_that_cannot_be_written(wanted: TableMapping, columns: dict[str, Column], sentence: str) -> None:
    """Each is a sentence with the columns and what to do."""
    with pytest.raises(TableNotReady) as caught:
        usable_part(wanted, columns)

    assert str(caught.value).startswith(sentence)


def test_columns_that_are_gone() -> None:
    """They are named, with the CQL that adds them."""
    require_columns(WANTED, WANTED)
    with pytest.raises(TableNotReady) as caught:
        require_columns(WANTED, usable_part(WANTED, regular(last_login_imap="timestamp", last_login_pop3="timestamp")))

    said = str(caught.value)
    assert said.startswith("the table has lost last_login_lmtp, last_login_webmail, remote_ip_imap, ")
    assert said.endswith(
        "ALTER TABLE statsdb.dovecot_stats ADD (remote_ip_imap inet, remote_ip_pop3 inet, last_login_webmail "
        "timestamp, remote_ip_webmail inet, last_login_lmtp timestamp, remote_ip_lmtp inet)"
    )
