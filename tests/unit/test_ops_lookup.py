"""A row of the table as people and programs read it."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from lastlogin_ops.lookup import Lookup, Use, ago, document, lookup_of, one_row, shown, text
from lastlogin_schemas.columns import Column, Columns, usable_part
from lastlogin_schemas.errors import TableNotReady
from lastlogin_schemas.table import ServiceColumns, TableMapping


NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
WANTED = TableMapping("k", "t")
BERLIN = ZoneInfo("Europe/Berlin")

MANUAL = {
    "last_login_imap": Column("regular", "timestamp"),
    "last_login_lmtp": Column("regular", "timestamp"),
    "last_login_pop3": Column("regular", "timestamp"),
    "user": Column("partition_key", "text", 0),
}
ADDRESSES = {f"remote_ip_{service}": Column("regular", "inet") for service in ("imap", "lmtp", "pop3")}


def mapping_of(columns: Columns) -> TableMapping:
    """What is read of a table with these columns, by default."""
    return usable_part(shown(WANTED, columns), columns)


def cell(at: datetime, written: int, *address: object) -> tuple[object, ...]:
    """Time, its write time, and if given the address and its write time, as the driver gives them."""
    return (at.replace(tzinfo=None), written, *address)


def test_the_manuals_tables() -> None:
    """The manual's table is read with and without addresses, services in the order of the manual."""
    plain = mapping_of(MANUAL)
    with_addresses = mapping_of(MANUAL | ADDRESSES)

    services = ("imap", "pop3", "lmtp")
    assert {s: ServiceColumns(f"last_login_{s}", None) for s in services} == plain.services
    assert {s: ServiceColumns(f"last_login_{s}", f"remote_ip_{s}") for s in services} == with_addresses.services
    assert list(services) == list(with_addresses.services)


def test_more_services() -> None:
    """Services that a site added are found; columns of another kind are not taken for one; the key has any name."""
    mapping = mapping_of(
        {
            "last_login_sieve": Column("regular", "timestamp"),
            "last_login_webmail": Column("regular", "timestamp"),
            "last_login_comment": Column("regular", "text"),
            "mailbox": Column("partition_key", "text", 0),
        }
    )

    assert ("mailbox", ["webmail", "sieve"]) == (mapping.user, list(mapping.services))


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"user": Column("partition_key", "text", 0)}, "the table k.t has none of the columns last_login_imap, "),
        (
            MANUAL | {"service": Column("clustering", "text", 0)},
            "the primary key of the table k.t is (user, service), must be (user); ",
        ),
        (MANUAL | {"last_login_imap": Column("regular", "bigint")}, "columns of the table k.t have another type: last"),
        (
            {"mailbox": Column("partition_key", "blob", 0)},
            "columns of the table k.t have another type: mailbox is blob",
        ),
    ],
)
def test_tables_that_are_not_read(columns: Columns, fault: str) -> None:
    """Neither with several rows a user nor with a time that is none: the service would seem to have no logins."""
    with pytest.raises(TableNotReady) as caught:
        mapping_of(columns)

    assert str(caught.value).startswith(fault)


def test_what_is_configured() -> None:
    """Columns that are configured are looked for by name, and no others."""
    wanted = TableMapping("k", "t", "userid", {"imap": ServiceColumns("at", "ip")}, "service", "text")

    assert wanted == shown(wanted, MANUAL)


def test_a_row_per_service() -> None:
    """Rows of services read as one, in the order of the services; an empty text is no address."""
    services = {service: ServiceColumns("at", "ip") for service in ("imap", "pop3", "lmtp")}
    mapping = TableMapping("k", "t", "userid", services, "service", "text")
    rows = [("lmtp", *cell(NOW, 5, "", 5)), ("imap", *cell(NOW, 6, "192.0.2.1", 6))]

    row = one_row(mapping, rows)

    assert row is not None
    assert {"imap": Use("imap", NOW, "192.0.2.1"), "pop3": None, "lmtp": Use("lmtp", NOW, None)} == lookup_of(
        "u", mapping, row
    ).uses
    assert one_row(mapping, []) is None
    assert one_row(WANTED, []) is None
    assert one_row(WANTED, [("u", 1)]) == ("u", 1)


def test_address_belongs_to_its_time() -> None:
    """An address counts only where it was written together with the time beside it."""
    mapping = mapping_of(MANUAL | ADDRESSES)
    row = (
        "u",
        *cell(NOW, 5, "192.0.2.1", 5),
        *cell(NOW, 5, "192.0.2.2", 4),
        *(None, None, "192.0.2.3", 1),
    )

    lookup = lookup_of("u", mapping, row)

    assert lookup.uses == {"imap": Use("imap", NOW, "192.0.2.1"), "pop3": Use("pop3", NOW, None), "lmtp": None}
    assert lookup.keeps_addresses


def test_zero_byte_address_is_none() -> None:
    """An address of zero bytes, which reads as null with a write time, is no address."""
    mapping = TableMapping("k", "t", "user", {"imap": ServiceColumns("time", "address")})

    assert lookup_of("u", mapping, ("u", *cell(NOW, 5, None, 5))).uses == {"imap": Use("imap", NOW, None)}


def test_deliveries_are_no_logins() -> None:
    """Mail that arrives is kept out of the last login."""
    login = Use("pop3", NOW - timedelta(days=9), None)
    delivery = Use("lmtp", NOW, None)
    lookup = Lookup("u", {"imap": None, "pop3": login, "lmtp": delivery, "lda": None}, keeps_addresses=False)

    assert (lookup.last_login, lookup.last_delivery) == (login, delivery)


def test_text() -> None:
    """Each service has its line: time in the zone with its offset then, distance, address of that very login."""
    lookup = Lookup(
        "test1@example.org",
        {
            "imap": Use("imap", NOW - timedelta(minutes=3), "192.0.2.1"),
            "pop3": Use("pop3", NOW - timedelta(days=150), None),
            "webmail": None,
            "lmtp": Use("lmtp", NOW - timedelta(seconds=1), "2001:db8::1"),
        },
        keeps_addresses=True,
    )

    assert text(lookup, NOW, BERLIN) == (
        "test1@example.org: last login was by IMAP 3 minutes ago\n"
        "\n"
        "IMAP                  2026-11-24 12:57:00+01:00  3 minutes ago  from 192.0.2.1\n"
        "POP3                  2026-06-27 14:00:00+02:00  150 days ago   no address recorded\n"
        "webmail               none recorded\n"
        "last delivery (LMTP)  2026-11-24 12:59:59+01:00  just now       from 2001:db8::1"
    )


def test_text_without_addresses() -> None:
    """A table without addresses says nothing of them; services without a name of their own go by theirs."""
    lookup = Lookup("u", {"sieve": Use("sieve", NOW - timedelta(hours=2), None)}, keeps_addresses=False)

    assert text(lookup, NOW, UTC) == (
        "u: last login was by sieve 2 hours ago\n\nsieve  2026-11-24 10:00:00+00:00  2 hours ago"
    )


def test_text_moves_no_cursor() -> None:
    """Control characters in what others wrote are escaped: addresses as text, services of the configuration, users."""
    lookup = Lookup("u\x1b[2J", {"a\tb": Use("a\tb", NOW - timedelta(hours=2), "x\r\n\x9b31m")}, keeps_addresses=True)

    assert text(lookup, NOW, UTC) == (
        "u\\x1b[2J: last login was by a\\tb 2 hours ago\n\n"
        "a\\tb  2026-11-24 10:00:00+00:00  2 hours ago  from x\\r\\n\\x9b31m"
    )


@pytest.mark.parametrize(
    ("uses", "headline"),
    [
        ({"lmtp": Use("lmtp", NOW, None)}, "u: no login recorded, only deliveries, the last just now"),
        ({"imap": None}, "u: no login recorded"),
    ],
)
def test_headline_without_login(uses: dict[str, Use | None], headline: str) -> None:
    """Without a login the headline says so, and names deliveries as such."""
    assert text(Lookup("u", uses, keeps_addresses=False), NOW, UTC).splitlines()[0] == headline


def test_document() -> None:
    """For programs: UTC, milliseconds since 1970, null where nothing is recorded."""
    at = datetime(2026, 11, 24, 11, 57, 0, 123_000, tzinfo=UTC)
    lookup = Lookup("u", {"imap": Use("imap", at, "192.0.2.1"), "pop3": None, "lmtp": None}, keeps_addresses=True)
    entry = {"time": "2026-11-24T11:57:00.123Z", "epoch_ms": 1_795_521_420_123, "address": "192.0.2.1"}

    assert document(lookup) == {
        "user": "u",
        "found": True,
        "last_login": {"service": "imap", **entry},
        "last_delivery": None,
        "services": {"imap": entry, "pop3": None, "lmtp": None},
    }
    assert datetime.fromtimestamp(1_795_521_420_123 / 1000, UTC) == at


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (2, "just now"),
        (-2, "just now"),
        (2.5, "2 seconds ago"),
        (59.9, "59 seconds ago"),
        (60, "1 minute ago"),
        (3_599, "59 minutes ago"),
        (3_600, "1 hour ago"),
        (86_399, "23 hours ago"),
        (86_400, "1 day ago"),
        (365 * 86_400, "365 days ago"),
        (366 * 86_400, "1 year ago"),
        (3 * 366 * 86_400, "3 years ago"),
        (-90, "1 minute in the future: a clock is wrong"),
    ],
)
def test_ago(seconds: float, words: str) -> None:
    """Distances are told in whole units; a little of the future is only a clock's slack."""
    assert ago(NOW - timedelta(seconds=seconds), NOW) == words
    elsewhere = timezone(timedelta(hours=5))
    assert ago((NOW - timedelta(seconds=seconds)).astimezone(elsewhere), NOW) == words
