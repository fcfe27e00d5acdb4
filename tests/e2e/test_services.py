"""Services without a column in the table: on the topic, in no row, counted, and in nobody's way."""

import json
import subprocess
import time
from collections.abc import Callable

import pytest

from lastlogin_stack.clients import imap_login
from lastlogin_stack.dovecot import DovecotOptions
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support import dict_client
from tests.support.odd import ODD
from tests.support.servers import Running
from tests.support.uses import Use, follow


USER = "a/b@example.org"
CLIENT = "127.0.0.21"


@pytest.fixture
def dovecot_options() -> DovecotOptions:
    """Keys with addresses: without a client they end in a slash."""
    return ODD


def _by_dovecot(servers: Running) -> dict[str, Callable[[], object]]:
    """Programs of Dovecot that are no server, with the plugin enabled for all of them, as some sites have it."""
    options = ["-c", str(servers.dovecot.directory / "dovecot.conf"), "-o", "mail_plugins=last_login"]
    commands = {
        "doveadm": ["doveadm", *options, "mailbox", "status", "-u", USER, "messages", "INBOX"],
        "lda": ["/usr/lib/dovecot/deliver", *options, "-d", USER],
    }
    return {
        service: lambda command=command: subprocess.run(  # type: ignore[misc]
            command, input=b"Subject: delivery\n\nBody\n", check=True, capture_output=True
        )
        for service, command in commands.items()
    }


def _over_the_socket(layout: Layout, service: str) -> None:
    """A service for which the servers here have no program."""
    key = f"shared/last-login/{service}/{USER}/{CLIENT}"

    assert b"O1\n" == dict_client.write(layout.dict_socket, USER, key, str(time.time_ns() // 1_000_000))


def test_services_without_a_column(pipeline: Layout, table: StatsTable, servers: Running) -> None:
    """They are on the topic, change no row and are counted in the log; the next IMAP login is written."""
    servers.consumer.stop()
    servers.consumer.start()
    servers.consumer.wait_ready()
    by_dovecot = [
        Use(USER, service, act, f"last-login/{service}/{USER}/") for service, act in _by_dovecot(servers).items()
    ]
    over_the_socket = [
        Use(
            USER,
            service,
            lambda service=service: _over_the_socket(pipeline, service),  # type: ignore[misc]
            f"last-login/{service}/{USER}/{CLIENT}",
            CLIENT,
        )
        for service in ("submission", "managesieve")
    ]
    login = Use(USER, "imap", lambda: imap_login(pipeline, USER, CLIENT), f"last-login/imap/{USER}/{CLIENT}", CLIENT)

    follow(pipeline, table, [*by_dovecot, *over_the_socket, login])
    servers.consumer.stop()

    lines = [json.loads(line) for line in servers.consumer.log_tail(100) if line.startswith("{")]
    assert {line["service"] for line in lines if line.get("action") == "unmapped"} <= {
        use.service for use in (*by_dovecot, *over_the_socket)
    }
    assert [(4, 1)] == [(line["unmapped"], line["written"]) for line in lines if line.get("action") == "stopped"]
