"""Addresses of every kind, given by clients and by proxies to real Dovecot."""

import pytest

from lastlogin_stack.dovecot import DovecotOptions
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.odd import DIRECT, ODD, ODD_NAMES, Client, odd_uses, through_proxy
from tests.support.uses import as_shown, follow, shown


# The name looks as if it ended in an address itself.
USER = ODD_NAMES["slash-address"]


@pytest.fixture
def dovecot_options() -> DovecotOptions:
    """Keys with addresses, and a proxy that is trusted."""
    return ODD


@pytest.mark.parametrize(
    "client",
    [
        *DIRECT,
        through_proxy("192.0.2.255", "192.0.2.255", "192.0.2.255"),
        through_proxy("2001:DB8::1", "2001:db8::1", "2001:db8::1"),
        through_proxy("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1", "2001:db8::1:0:0:1"),
        through_proxy("fe80::1", "fe80::1", "fe80::1"),
        through_proxy("::ffff:192.0.2.7", "::ffff:192.0.2.7", "192.0.2.7"),
        through_proxy("64:ff9b::192.0.2.7", "64:ff9b::c000:207", "64:ff9b::c000:207"),
        through_proxy("::", "::", "::"),
    ],
    ids=lambda client: f"{'proxy-for-' if client.on_behalf_of else 'from-'}{client.in_key}",
)
def test_the_address_of_a_client(client: Client, pipeline: Layout, table: StatsTable) -> None:
    """The address is on the topic, in the row and in `show`, an IPv4-mapped one as IPv4; the key is as Dovecot's."""
    events = follow(pipeline, table, odd_uses(pipeline, USER, client), bystanders=["a", "a/b"])

    assert {event.service: as_shown(event) for event in events} == shown(pipeline, USER)
