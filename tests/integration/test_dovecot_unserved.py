"""A real Dovecot whose dict the producer does not serve: mail goes on as ever."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastlogin_stack.clients import imap_login, lmtp_deliver, pop3_login
from lastlogin_stack.dovecot import Dovecot
from lastlogin_stack.layout import Layout
from tests.support.dovecot import own_dovecot
from tests.support.producer import ProducerProcess


@pytest.fixture
def dovecot(layout: Layout) -> Iterator[Dovecot]:
    """One of this test's own."""
    with own_dovecot(layout) as server:
        yield server


def closed(producer: ProducerProcess) -> float:
    """Connections closed because they asked for a dict that is not configured."""
    [count] = re.findall(r'closed_total\{reason="unknown_dict"\} (\S+)', producer.get("/metrics")[1])
    return float(count)


def test_a_dict_name_that_is_not_configured(dovecot: Dovecot, tmp_path: Path) -> None:
    """Logins and deliveries do not wait; the producer counts and tells what Dovecot asked for in vain."""
    layout = dovecot.layout
    settings = {"SOCKET__PATH": str(layout.dict_socket), "SOCKET__MODE": "0666", "DICTS": '{"other": {}}'}
    with ProducerProcess(tmp_path, **settings) as producer:
        producer.wait_for("dict_listening")
        begun = time.monotonic()
        imap_login(layout, "test1")
        pop3_login(layout, "test2")
        lmtp_deliver(layout, "sender@example.org", "test3")
        took = time.monotonic() - begun
        # Dovecot may try once more when the first write fails.
        producer.wait_until(lambda: closed(producer) >= 3)

        # Who is kept waiting for an answer waits 30 s, who finds no server 3 s; the machine may be busy.
        assert took < 15
        assert ["unknown_dict"] == [line["reason"] for line in producer.said("dict_connection_closed")]
        assert 0 == producer.stop()
        assert 0 == producer.said("stopped")[0]["rows"]
    assert "signal 11" not in layout.log_file("dovecot").read_text()
