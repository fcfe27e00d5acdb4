"""How fresh the answer of `lastlogin show` is, whether or not the user has a row."""

import asyncio
import json
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

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
    row: Lookup | None = request.param
    monkeypatch.setattr(reader, "find", lambda _settings, _wanted, _user, first: (first(), row))
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


def test_the_row_is_read_after_kafka_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A login that is written while both are asked is not missing in an answer that calls the table up to date."""
    columns = [
        SimpleNamespace(column_name="user", kind="partition_key", type="text", position=0),
        SimpleNamespace(column_name="last_login_imap", kind="regular", type="timestamp", position=-1),
    ]
    written = threading.Event()

    class Session:
        def execute(self, statement: object, _values: object) -> Any:
            if statement is not self:
                return columns
            rows = [("u", datetime(2026, 1, 2), 1)] if written.is_set() else []  # noqa: DTZ001 - as the driver gives it
            return SimpleNamespace(all=lambda: rows)

        def prepare(self, _cql: str) -> object:
            return self

    async def backlog(*_: object) -> Backlog:
        # The consumer writes the row while Kafka is asked.
        await asyncio.sleep(0.05)
        written.set()
        return Backlog(0, None)

    monkeypatch.setattr(reader, "ask", lambda _settings, question: question(Session()))
    monkeypatch.setattr(module, "backlog", backlog)
    shown = show()

    assert shown.exit_code == 0
    assert shown.stdout.startswith("u: last login was by IMAP ")
    assert "The table is up to date" in shown.stdout


def test_a_user_who_is_not_found_moves_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is repeated with its control characters escaped."""
    monkeypatch.setattr(reader, "find", lambda *_: ("not asked", None))
    environ = {"LASTLOGIN_CASSANDRA__CONTACT_POINTS": "c"}
    ended = CliRunner().invoke(main, ["show", "a\x1b[2J"], env=environ)

    assert ended.stdout.startswith("a\\x1b[2J: no login was recorded\n")
