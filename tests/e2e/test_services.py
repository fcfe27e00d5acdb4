"""Services without a column in the table: on the topic, in no row, counted, and in nobody's way."""

import json
import subprocess
import time

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


def _by_dovecot(servers: Running, service: str, program: str, *arguments: str) -> Use:
    """A program of Dovecot that is no server, with the plugin enabled for all of them, as some sites have it."""
    options = ["-c", str(servers.dovecot.directory / "dovecot.conf"), "-o", "mail_plugins=last_login"]

    def act() -> None:
        mail = b"Subject: A delivery\n\nBody\n"
        subprocess.run([program, *options, *arguments], input=mail, check=True, capture_output=True)

    return Use(USER, service, act, f"last-login/{service}/{USER}/")


def _over_the_socket(layout: Layout, service: str) -> Use:
    """A service for which the servers here have no program."""
    key = f"last-login/{service}/{USER}/{CLIENT}"

    def act() -> None:
        at_ms = time.time_ns() // 1_000_000
        assert b"O1\n" == dict_client.write(layout.dict_socket, USER, f"shared/{key}", str(at_ms))

    return Use(USER, service, act, key, CLIENT)


def test_services_without_a_column(pipeline: Layout, table: StatsTable, servers: Running) -> None:
    """They are on the topic, change no row and are counted in the log; the next IMAP login is written."""
    servers.consumer.stop()
    servers.consumer.start()
    servers.consumer.wait_ready()
    without_column = [
        _by_dovecot(servers, "doveadm", "doveadm", "mailbox", "status", "-u", USER, "messages", "INBOX"),
        _by_dovecot(servers, "lda", "/usr/lib/dovecot/deliver", "-d", USER),
        _over_the_socket(pipeline, "submission"),
        _over_the_socket(pipeline, "managesieve"),
    ]
    login = Use(USER, "imap", lambda: imap_login(pipeline, USER, CLIENT), f"last-login/imap/{USER}/{CLIENT}", CLIENT)

    follow(pipeline, table, [*without_column, login])
    servers.consumer.stop()

    lines = [json.loads(line) for line in servers.consumer.log_tail(100) if line.startswith("{")]
    named = {line["service"] for line in lines if line.get("action") == "unmapped"}
    assert named
    assert named <= {use.service for use in without_column}
    assert [(4, 1)] == [(line["unmapped"], line["written"]) for line in lines if line.get("action") == "stopped"]
