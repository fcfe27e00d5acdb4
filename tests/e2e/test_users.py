"""Users with names that are hard to bear, by real clients through real Dovecot."""

import subprocess
import time

import pytest

from lastlogin_stack.dovecot import DovecotOptions
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.odd import ODD, ODD_NAMES, WITHOUT_ADDRESS, odd_uses
from tests.support.servers import Running
from tests.support.uses import Use, as_shown, follow, shown


@pytest.fixture
def dovecot_options() -> DovecotOptions:
    """All these users."""
    return ODD


@pytest.mark.parametrize("user", ODD_NAMES.values(), ids=ODD_NAMES)
def test_the_name_of_a_user(user: str, pipeline: Layout, table: StatsTable) -> None:
    """IMAP, POP3 and LMTP leave the very name on the topic, in the table and in `show`, and touch no other user."""
    events = follow(pipeline, table, odd_uses(pipeline, user), bystanders=ODD_NAMES.values())

    assert {event.service: as_shown(event) for event in events} == shown(pipeline, user)


def test_all_of_them_at_once_without_address(pipeline: Layout, table: StatsTable) -> None:
    """Sixty logins and deliveries at one time, keys without address: no part of a name is taken for one."""
    uses = [use for user in ODD_NAMES.values() for use in odd_uses(pipeline, user, WITHOUT_ADDRESS)]

    events = follow(pipeline, table, uses, at_once=True)

    assert {None} == {event.remote_ip for event in events}


@pytest.mark.parametrize(
    "user", ["a\tb", "a\nb\r", "a\x01b\x01", "a:b"], ids=["tab", "line-feed", "escape-character", "colon"]
)
def test_characters_that_dovecot_escapes(user: str, pipeline: Layout, table: StatsTable, servers: Running) -> None:
    """Names that no users file can hold, as Dovecot's own dict client sends them, arrive as they were."""
    key = f"last-login/imap/{user}/192.0.2.1"
    command = [
        *("doveadm", "-c", str(servers.dovecot.directory / "dovecot.conf")),
        *("dict", "set", "-u", user, f"proxy:{pipeline.dict_socket}:statsdb", f"shared/{key}"),
    ]

    def act() -> None:
        subprocess.run([*command, str(time.time_ns() // 1_000_000)], check=True)

    (event,) = follow(pipeline, table, [Use(user, "imap", act, key, "192.0.2.1")])

    assert {"imap": as_shown(event)} == shown(pipeline, user)
