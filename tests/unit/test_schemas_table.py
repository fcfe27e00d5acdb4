"""Addresses, order and the CQL of the table."""

import re
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lastlogin_schemas
from lastlogin_schemas import address, ddl, table
from lastlogin_schemas.order import newest_wins


@pytest.mark.parametrize(
    ("text", "canonical", "packed"),
    [
        ("192.0.2.1", "192.0.2.1", "c0000201"),
        ("::ffff:192.0.2.1", "192.0.2.1", "c0000201"),
        ("2001:DB8:0::1", "2001:db8::1", "20010db8000000000000000000000001"),
        ("::1", "::1", "00000000000000000000000000000001"),
    ],
)
def test_addresses(text: str, canonical: str, packed: str) -> None:
    """Addresses have one text form and one column form; IPv4-mapped ones are IPv4."""
    assert canonical == address.canonical(text)
    assert packed == address.column_bytes(text).hex()


@pytest.mark.parametrize("text", ["", "localhost", "192.0.2", "192.0.2.1/24", "fe80::1%eth0", "1" * 400])
def test_what_is_no_address_is_refused(text: str) -> None:
    """Anything but one plain address raises ValueError, a zone index included."""
    with pytest.raises(ValueError, match=r"."):
        address.column_bytes(text)


def test_addresses_as_text() -> None:
    """A text column gets the canonical text, and no bytes for no address."""
    assert b"192.0.2.1" == address.column_text("::ffff:192.0.2.1")
    assert b"" == address.column_text(None)
    with pytest.raises(ValueError, match=r"."):
        address.column_text("localhost")


def test_no_address_is_zero_bytes() -> None:
    """No address is written as an empty cell, which loses every tie and is no tombstone."""
    assert b"" == address.column_bytes(None)
    assert newest_wins(5, address.column_bytes(None)) < newest_wins(5, address.column_bytes("0.0.0.0"))


@given(st.integers(0, 9), st.integers(0, 9), st.binary(max_size=3), st.binary(max_size=3))
def test_newest_wins_is_cassandras_order(time: int, other: int, addr: bytes, other_addr: bytes) -> None:
    """The later login wins; on a tie the larger address, compared as unsigned bytes as Cassandra does."""
    expected = time > other if time != other else list(addr) > list(other_addr)

    assert expected == (newest_wins(time, addr) > newest_wins(other, other_addr))


def test_insert_names_its_columns_and_the_write_time() -> None:
    """One login is one INSERT of user, time and address under the login's own time."""
    assert (
        'INSERT INTO "statsdb"."dovecot_stats" ("user", "last_login_imap", "remote_ip_imap") '
        "VALUES (?, ?, ?) USING TIMESTAMP ?"
    ) == table.insert_cql(table.TableMapping(), "imap")


def test_insert_of_what_is_forgotten() -> None:
    """The seconds that are left stand before the write time."""
    assert table.insert_cql(table.TableMapping(ttl_s=5), "imap").endswith(
        "VALUES (?, ?, ?) USING TTL ? AND TIMESTAMP ?"
    )


def test_a_table_without_addresses_is_written_without() -> None:
    """The mapping shrinks to the columns that the table has."""
    mapping = table.TableMapping().restricted_to({"user", "last_login_imap", "remote_ip_pop3"})

    assert {"imap": table.ServiceColumns("last_login_imap", None)} == mapping.services
    assert (
        'INSERT INTO "statsdb"."dovecot_stats" ("user", "last_login_imap") VALUES (?, ?) USING TIMESTAMP ?'
    ) == table.insert_cql(mapping, "imap")
    assert (
        'SELECT "user", "last_login_imap", WRITETIME("last_login_imap") FROM "statsdb"."dovecot_stats" WHERE "user" = ?'
    ) == table.select_cql(mapping)


def test_names_and_literals_cannot_break_out() -> None:
    """Any identifier is quoted, any literal escaped."""
    mapping = table.TableMapping(keyspace='x"; DROP', table='a"b')

    assert '"x""; DROP"."a""b"' == mapping.qualified_table
    assert table.select_cql(mapping, table.literal("o'brien")).endswith("= 'o''brien'")


def test_a_row_per_service() -> None:
    """The service is the first value of the INSERT; the look-up names the services that it wants."""
    services = {service: table.ServiceColumns("at", "ip") for service in ("imap", "pop3")}
    mapping = table.TableMapping("k", "t", "userid", services, "service")

    assert (
        'INSERT INTO "k"."t" ("service", "userid", "at", "ip") VALUES (?, ?, ?, ?) USING TIMESTAMP ?'
    ) == table.insert_cql(mapping, "imap")
    assert (
        'SELECT "service", "at", WRITETIME("at"), "ip", WRITETIME("ip") FROM "k"."t" '
        """WHERE "userid" = ? AND "service" IN ('imap', 'pop3')"""
    ) == table.select_cql(mapping)
    assert (
        "CREATE TABLE IF NOT EXISTS k.t (userid text, service text, at timestamp, ip inet, "
        "PRIMARY KEY (userid, service))"
    ) == ddl.create_table(mapping)


def test_cql_for_people() -> None:
    """Names have quotes where they need them; a table that has everything needs nothing."""
    mapping = table.TableMapping("Stats", "order", services={"imap": table.ServiceColumns("1st", None)})

    assert 'ALTER TABLE "Stats"."order" ADD ("1st" timestamp)' == ddl.add_columns(mapping, {"user"})
    assert ddl.add_columns(mapping, {"user", "1st"}) is None
    assert (
        "CREATE KEYSPACE IF NOT EXISTS \"Stats\" WITH replication = {'class': 'NetworkTopologyStrategy', 'a''b': 1, "
        "'dc1': 3}"
    ) == ddl.create_keyspace("Stats", {"dc1": 3, "a'b": 1})


def test_the_delivered_table_is_the_mappings() -> None:
    """What tables.cql makes has every column of the default mapping, with its type, and no other."""
    text = (files(lastlogin_schemas) / "tables.cql").read_text("utf-8")
    found = set(re.findall(r"(\w+) (text|timestamp|inet)\b", text))

    assert set(table.TableMapping().columns()) == found
