"""Addresses, order and the CQL of the table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastlogin_schemas import address, table
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
