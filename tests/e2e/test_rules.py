"""Rules, from a real mail client to the row: webmail by its host, networks that are dropped, addresses that are cut."""

import json
from collections.abc import Iterator

import pytest

from lastlogin_stack.clients import imap_login
from lastlogin_stack.dovecot import WEBMAIL_ADDRESS, DovecotOptions, MailUser
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import EventReader, StatsTable
from lastlogin_stack.services import ProducerService
from tests.support.servers import Running


MONITORING = "127.0.0.51"
CLIENT = "127.0.0.21"
RULES = [
    {"networks": [WEBMAIL_ADDRESS], "services": ["imap"], "service": "webmail", "address": "omit", "action": "keep"},
    {"networks": ["127.0.0.48/28"], "action": "drop"},
    {"address": "truncate"},
]
USERS = [MailUser(f"ruled-{name}@example.org") for name in ("client", "webmail", "monitored")]


@pytest.fixture
def dovecot_options() -> DovecotOptions:
    """Keys with addresses, and no rule for webmail in Dovecot."""
    return DovecotOptions(users=tuple(USERS), key="last-login/%s/%u/%r", webmail_key=None)


@pytest.fixture
def ruled(servers: Running, pipeline: Layout) -> Iterator[Layout]:
    """The pipeline with rules in its producer."""
    servers.producer.stop()
    producer = ProducerService(pipeline, {"LASTLOGIN_PRODUCER_RULES": json.dumps(RULES)})
    producer.start()
    producer.wait_ready()
    yield pipeline
    producer.stop()


def test_rules(servers: Running, ruled: Layout, table: StatsTable) -> None:
    """The webmail host's IMAP is webmail without an address, others' addresses are cut, monitoring is not recorded."""
    client, webmail, monitored = (user.name for user in USERS)
    imap_login(ruled, monitored, MONITORING)
    imap_login(ruled, webmail, WEBMAIL_ADDRESS)
    imap_login(ruled, client, CLIENT)
    rows = [table.wait_for(name, bool, 15) for name in (client, webmail)]
    with EventReader(ruled, from_beginning=True) as reader:
        events = [record.event for record in reader.read_to_end(10) if record.event.user.startswith("ruled-")]

    assert ["127.0.0.0", None] == [next(iter(row.values())).address for row in rows]
    assert [{"imap"}, {"webmail"}] == [set(row) for row in rows]
    assert {} == table.row(monitored)
    assert {client: f"{client}/127.0.0.0", webmail: f"{webmail}/"} == {
        event.user: event.dict_key.removeprefix("shared/last-login/imap/") for event in events
    }
    # What was dropped had no number.
    assert {} == servers.holes()
