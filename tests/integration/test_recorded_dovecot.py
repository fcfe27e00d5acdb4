"""The recorded conversations of `tests/data/dict` are what a real Dovecot sends.

`LASTLOGIN_RECORD=1` writes down anew those of the version that is installed.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lastlogin_stack.clients import imap_login, lmtp_deliver, pop3_login
from lastlogin_stack.dovecot import DovecotOptions, MailUser
from lastlogin_stack.layout import Layout
from tests.support.dovecot import own_dovecot
from tests.support.recorder import Recorder


TRANSCRIPTS = Path(__file__).parents[1] / "data" / "dict"
VERSION = "2.3.19"
CLIENT = "127.0.0.21"
# A slash, a blank, letters of other alphabets, what Dovecot expands and what SQL quotes.
ODD = "a/b jörg%d'用户@example.org"
OPTIONS = DovecotOptions(
    users=(
        MailUser("test1"),
        MailUser("test4", "last-login/%s/%u/%r"),
        MailUser("test7", "last-login/%s/%u/%d"),
        MailUser("test8@example.org", "last-login/%s/%u/%d"),
        MailUser(ODD),
    ),
    webmail_key=None,
)

Act = Callable[[Layout], None]
ACTS: dict[str, Act] = {
    "imap": lambda layout: imap_login(layout, "test1", CLIENT),
    "imap-address": lambda layout: imap_login(layout, "test4", CLIENT),
    "imap-domain": lambda layout: imap_login(layout, "test8@example.org", CLIENT),
    "imap-no-domain": lambda layout: imap_login(layout, "test7", CLIENT),
    "imap-odd": lambda layout: imap_login(layout, ODD, CLIENT),
    "pop3": lambda layout: pop3_login(layout, "test1", CLIENT),
    "pop3-address": lambda layout: pop3_login(layout, "test4", CLIENT),
    "pop3-odd": lambda layout: pop3_login(layout, ODD, CLIENT),
    "lmtp": lambda layout: lmtp_deliver(layout, "sender@example.org", "test1", source=CLIENT),
    "lmtp-address": lambda layout: lmtp_deliver(layout, "sender@example.org", "test4", source=CLIENT),
}


@pytest.fixture(scope="module")
def dovecot(layout: Layout) -> Iterator[tuple[Layout, Recorder]]:
    """A Dovecot of this module's own, before a socket that records."""
    with own_dovecot(layout, OPTIONS) as server, Recorder(server.layout.dict_socket) as recorder:
        yield server.layout, recorder


def _timeless(conversation: bytes) -> bytes:
    return re.sub(rb"\t[0-9]{13}\n", b"\t<now>\n", conversation)


@pytest.mark.parametrize("name", ACTS)
def test_what_dovecot_sends(dovecot: tuple[Layout, Recorder], name: str) -> None:
    """Byte for byte, but for the time, what was recorded."""
    layout, recorder = dovecot
    file = TRANSCRIPTS / f"dovecot-{VERSION}-{name}.txt"
    ACTS[name](layout)
    sent = recorder.next()

    if os.environ.get("LASTLOGIN_RECORD"):
        file.write_bytes(sent)
    assert _timeless(file.read_bytes()) == _timeless(sent)
