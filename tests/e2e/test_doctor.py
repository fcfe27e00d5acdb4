"""The doctor on the whole pipeline, as `make demo` has it."""

import json
import os
import subprocess

from lastlogin_stack.clients import imap_login
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from lastlogin_stack.services import lastlogin_command
from tests.support.servers import Running
from tests.support.uses import Use, follow


USER = "lastlogin-doctor"


def consumer_side(layout: Layout) -> dict[str, list[str]]:
    """What `lastlogin doctor` has to say besides ok, by check; other tests have published logins from wrong clocks."""
    file = layout.services_directory / "consumer.toml"
    # A Cassandra that asks for no names is given one all the same.
    name = {"LASTLOGIN_CONSUMER_CASSANDRA__USERNAME": "nobody", "LASTLOGIN_CONSUMER_CASSANDRA__PASSWORD": "secret"}
    command = [*lastlogin_command(layout), "doctor", "--json", "--consumer", str(file)]
    done = subprocess.run(command, env=os.environ | name, capture_output=True, text=True, check=False)
    assert "" == done.stderr
    lines = [line for line in json.loads(done.stdout)["checks"] if not line["check"].startswith("clock")]
    return {line["check"]: [line["level"], line["found"]] for line in lines if line["level"] != "ok"}


def test_all_is_well(pipeline: Layout, table: StatsTable, servers: Running) -> None:
    """With real Dovecot, Kafka and producer everything is ok; its own login is on the topic and in no row.

    On the other side, too, but for a single Cassandra.
    """
    servers.consumer.stop()
    servers.consumer.start()
    servers.consumer.wait_ready()
    dovecot = servers.dovecot.directory / "dovecot.conf"
    command = [*servers.producer.command(), "doctor", "--json", "--dovecot-config", str(dovecot)]
    told = []

    def ask() -> None:
        environ = dict(servers.producer.environ())
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        told.append((done.returncode, json.loads(done.stdout), done.stderr))

    trip = Use(USER, "doctor", ask, f"last-login/doctor/{USER}/192.0.2.1", "192.0.2.1")
    # Written only after the doctor's, if that is written at all: both in one run of the consumer.
    login = Use("test1", "imap", lambda: imap_login(pipeline, "test1"), "last-login/imap/test1")
    follow(pipeline, table, [trip, login])
    consumers = consumer_side(pipeline)
    servers.consumer.stop()

    assert {"cassandra.copies"} == consumers.keys(), consumers
    [(code, report, err)] = told
    assert [] == [line for line in report["checks"] if line["level"] != "ok"]
    assert (0, "ok", "") == (code, report["level"], err)
    lines = [json.loads(line) for line in servers.consumer.log_tail(100) if line.startswith("{")]
    assert [(1, 1)] == [(line["unmapped"], line["written"]) for line in lines if line.get("action") == "stopped"]
    assert {} == table.row(USER)
