"""Webmail's logins, told from others by a `remote` block of real Dovecot, as docs/backend.md has it."""

import pytest

from lastlogin_stack.clients import imap_login
from lastlogin_stack.dovecot import WEBMAIL_ADDRESS, DovecotOptions
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.uses import Use, follow


_BROWSER = "198.51.100.7"


@pytest.fixture
def dovecot_options() -> DovecotOptions:
    """Keys with addresses, and a webmail host whose word is taken for that of its browsers."""
    return DovecotOptions(key="last-login/%s/%u/%r", trusted_networks=WEBMAIL_ADDRESS)


def test_a_block_sees_the_forwarded_address(pipeline: Layout, table: StatsTable) -> None:
    """Once webmail tells the browser's address, a `remote` block for webmail's host does not match any more."""
    uses = [
        Use(
            "test1",
            "webmail",
            lambda: imap_login(pipeline, "test1", WEBMAIL_ADDRESS),
            f"last-login/webmail/test1/{WEBMAIL_ADDRESS}",
            WEBMAIL_ADDRESS,
        ),
        Use(
            "test1",
            "imap",
            lambda: imap_login(pipeline, "test1", WEBMAIL_ADDRESS, on_behalf_of=_BROWSER),
            f"last-login/imap/test1/{_BROWSER}",
            _BROWSER,
        ),
    ]

    follow(pipeline, table, uses)
