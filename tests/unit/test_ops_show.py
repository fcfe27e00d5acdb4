"""How fresh the answer of `lastlogin show` is, whether or not the user has a row."""

import json
import threading
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result

from lastlogin_ops import reader
from lastlogin_ops import show as module
from lastlogin_ops.backlog import Backlog
from lastlogin_ops.lookup import Lookup, Use
from lastlogin_ops.main import main


ROW = Lookup("u", {"imap": Use("imap", datetime(2026, 1, 2, tzinfo=UTC), None)}, keeps_addresses=False)


@pytest.fixture(params=[ROW, None], ids=["row", "no row"])
def found(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Lookup | None:
    """What Cassandra says of the user."""
    monkeypatch.setattr(reader, "find", lambda *_: request.param)
    row: Lookup | None = request.param
    return row


def show(*arguments: str, kafka: str = "k:9092") -> Result:
    """Look up a user."""
    environ = {"LASTLOGIN_CASSANDRA__CONTACT_POINTS": "c", "LASTLOGIN_KAFKA__BOOTSTRAP_SERVERS": kafka}
    return CliRunner().invoke(main, ["show", "u", *arguments], env=environ)


@pytest.mark.parametrize(
    ("waiting", "sentence"),
    [
        (Backlog(0, None), "The table is up to date: it has everything that reached Kafka and could be used."),
        (Backlog(2, None), "The table is behind: 2 events are in Kafka and not in the table yet."),
    ],
)
def test_backlog(monkeypatch: pytest.MonkeyPatch, found: Lookup | None, waiting: Backlog, sentence: str) -> None:
    """The last line says what the table does not have yet; for programs it is a field."""

    async def backlog(*_: object) -> Backlog:
        return waiting

    monkeypatch.setattr(module, "backlog", backlog)

    people, machine = show(), show("--json")

    assert (people.exit_code, machine.exit_code) == ((0, 0) if found else (1, 1))
    assert people.stdout.splitlines()[-1] == sentence
    document = json.loads(machine.stdout)
    assert document["found"] is (found is not None)
    assert document["backlog"] == {"records": waiting.records, "oldest_ms": None}


def test_without_kafka(found: Lookup | None) -> None:
    """Without Kafka the answer is the same, and says that it may be stale."""
    people, machine = show(kafka=""), show("--json", kafka="")

    assert (people.exit_code, machine.exit_code) == ((0, 0) if found else (1, 1))
    assert people.stdout.splitlines()[-1].startswith(
        "How fresh the table is, is not known: [kafka] is not configured: set "
    )
    assert json.loads(machine.stdout)["backlog"] is None


def test_kafka_that_hangs(monkeypatch: pytest.MonkeyPatch, found: Lookup | None) -> None:
    """The answer does not wait for a Kafka that says nothing."""
    over = threading.Event()

    async def backlog(*_: object) -> Backlog:
        over.wait()
        return Backlog(0, None)

    monkeypatch.setattr(module, "backlog", backlog)
    monkeypatch.setattr(module, "_BACKLOG_WAIT_S", 0.01)
    try:
        ended = show()
    finally:
        over.set()

    assert ended.exit_code == (0 if found else 1)
    assert ended.stdout.splitlines()[-1] == "How fresh the table is, is not known: Kafka did not answer in time"
