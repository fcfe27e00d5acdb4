"""Whom the writer blames when rows are refused, what it says, and what it does about silence."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any

import cassandra
import pytest
from cassandra.cluster import NoHostAvailable
from cassandra.protocol import OverloadedErrorMessage, ServerError
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from lastlogin_consumer.batch_request import StatementsForgotten
from lastlogin_consumer.decode import Login
from lastlogin_consumer.metrics import ConsumerMetrics
from lastlogin_consumer.outcome import Blame, blame, is_answer
from lastlogin_consumer.ring import Ring
from lastlogin_consumer.table import explain
from lastlogin_consumer.writer import SILENCE_S, Writer
from lastlogin_schemas.table import TableMapping
from lastlogin_service.backoff import Backoff
from tests.support.logins import AT_US
from tests.support.memory import until


DENIED = cassandra.InvalidRequest("Unable to write to denylisted partition [key] in statsdb/dovecot_stats")
FULL = cassandra.InvalidRequest(
    "Guardrail replica_disk_usage violated: Write request failed because disk usage exceeds"
)


class Nodes:
    """A table whose nodes take what `refuses` lets through; they answer at once, except to `unanswered` users."""

    def __init__(self, refuses: Callable[[Login], bool] = lambda _login: False) -> None:
        self.refuses = refuses
        self.knocks = 0
        # What a knock is answered with, and when.
        self.lock: Exception | None = None
        self.answering = threading.Event()
        self.answering.set()
        self.refusal: Exception = DENIED
        self.unanswered: set[str] = set()
        self.looks = self.sessions = self.closed = 0
        # Sessions by number that open when this is set.
        self.stuck: set[int] = set()
        self.release = threading.Event()
        self.session = SimpleNamespace(execute_async=self._execute)
        self.topology = SimpleNamespace(ring=Ring)
        self.key = None
        self.formats = {"imap": None}
        self.mapping = TableMapping()
        self.local_dc = "dc1"

    def batch(self, logins: Sequence[Login]) -> Sequence[Login]:
        """The rows as they are."""
        return logins

    def prepared_again(self) -> "Nodes":
        """The table is as it was."""
        self.looks += 1
        return self

    def knock(self) -> None:
        """Say what keeps the driver from all of them, if anything."""
        self.answering.wait(10)
        self.knocks += 1
        if self.lock is not None:
            raise NoHostAvailable("No node lets us in", {"c:9042": self.lock})

    def close(self) -> None:
        """One session less."""
        self.closed += 1

    def _execute(self, logins: Sequence[Login]) -> Any:
        refused = any(map(self.refuses, logins))

        def add_callbacks(taken: Any, failed: Any, args: Any, _: Any, failed_args: Any, __: Any) -> None:
            if self.unanswered.intersection(login.user for login in logins):
                return
            if refused:
                failed(self.refusal, *failed_args)
            else:
                taken(None, *args)

        return SimpleNamespace(add_callbacks=add_callbacks)


async def _writer(
    nodes: Nodes,
    silence_s: float = SILENCE_S,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> Writer:
    def opened(_wanted: TableMapping) -> Any:
        nodes.sessions += 1
        if nodes.sessions in nodes.stuck:
            nodes.release.wait(10)
        return nodes

    backoff = partial(Backoff, 1e-6, 1e-6, Random(0))  # noqa: S311 - jitter
    metrics = ConsumerMetrics(CollectorRegistry(), linger_s=2.0)
    writer = Writer(TableMapping(), opened, backoff, metrics, silence_s=silence_s, clock=clock, wall=wall)
    await writer.connect()
    return writer


def _logins(*users: str) -> list[Login]:
    return [Login(user, "imap", AT_US, b"", True, offset) for offset, user in enumerate(users)]


@pytest.mark.parametrize("others", [(), ("a", "b")])
async def test_rows_that_are_refused_for_what_they_are_come_back(others: tuple[str, ...]) -> None:
    """Also when nothing else is written; the table is not looked at, and nothing is said to fail."""
    nodes = Nodes(lambda login: login.user.startswith("bad"))
    writer = await _writer(nodes)
    with capture_logs() as said:
        refused = await writer.write(_logins("bad1", *others, "bad2"))

    assert ["bad1", "bad2"] == sorted(refusal.login.user for refusal in refused)
    assert "Cassandra refuses: Unable to write to denylisted partition" in refused[0].why
    assert (0, []) == (nodes.looks, said)


async def test_a_thousand_refused_rows_come_back_in_one_go() -> None:
    """Among others, and without a pause."""
    nodes = Nodes(lambda login: login.offset % 4 == 0)
    refused = await (await _writer(nodes)).write(_logins(*(f"u{number}" for number in range(4_000))))

    assert list(range(0, 4_000, 4)) == sorted(refusal.login.offset for refusal in refused)


@pytest.mark.parametrize("full", ["abc", "a", "ab"])
async def test_rows_that_are_refused_for_a_full_disk_are_kept(full: str) -> None:
    """All, one or some of them, while the others are taken: it is told, and they are written later."""
    nodes = Nodes(lambda login: login.user in full)
    nodes.refusal = FULL
    writer = await _writer(nodes)
    writing = asyncio.create_task(writer.write(_logins("a", "b", "c")))
    await until(lambda: nodes.looks > 5)
    assert not writing.done()
    assert "Cassandra cannot be written to" in (writer.problem or "")

    nodes.refuses = lambda _login: False
    assert [] == await writing
    assert writer.problem is None


@pytest.mark.parametrize(("age_s", "late"), [(-3.0, 0), (6.9, 0), (7.1, 3)])
async def test_rows_that_come_late_are_counted(age_s: float, late: int) -> None:
    """More than 5 s and linger_s after the login, when they are acknowledged; those refused are never."""
    nodes = Nodes(lambda login: login.user == "bad")
    writer = await _writer(nodes, wall=lambda: AT_US / 1e6 + age_s)
    await writer.write(_logins("a", "b", "bad", "c"))

    assert late == writer._metrics.totals.late


async def test_requests_that_are_repeated_are_counted() -> None:
    """Two that fail for the cluster, and two that are cut in halves; a row that is set aside is not sent again."""
    nodes = Nodes(lambda login: login.user == "bad")
    writer = await _writer(nodes)
    await writer.write(_logins("a", "b", "c", "d"))
    assert 0 == writer._metrics.totals.retries
    await writer.write(_logins("bad", "b", "c", "d"))
    assert 2 == writer._metrics.totals.retries

    refusals = iter([True, True, False])
    nodes.refuses, nodes.refusal = lambda _login: next(refusals), cassandra.Unavailable("too few")
    await writer.write(_logins("a"))
    assert 4 == writer._metrics.totals.retries


async def test_a_request_that_is_never_answered_is_sent_again_by_a_new_session() -> None:
    """Also while others are acknowledged all the time: no partition waits for an answer for ever."""
    nodes = Nodes()
    nodes.unanswered = {"a"}
    writer = await _writer(nodes, silence_s=0.02)
    writing = asyncio.create_task(writer.write(_logins("a")))
    async with asyncio.timeout(10):
        while nodes.sessions < 2:
            await writer.write(_logins("b"))
        nodes.unanswered = set()
        while not writing.done():
            await writer.write(_logins("b"))

    assert [] == await writing
    assert {} == writer._in_flight


@pytest.mark.parametrize("stuck", [1, 2])
async def test_a_session_that_does_not_open_is_given_up(stuck: int) -> None:
    """At the start and later: another one is made; that one is closed should it open after all."""
    nodes = Nodes()
    nodes.stuck = {stuck}
    nodes.unanswered = {"a"} if stuck > 1 else set()
    async with asyncio.timeout(10):
        writer = await _writer(nodes, silence_s=0.01)
        writing = asyncio.create_task(writer.write(_logins("a")))
        await until(lambda: nodes.sessions > stuck)
        nodes.unanswered = set()
        await writing
        closed = nodes.closed
        nodes.release.set()
        await until(lambda: nodes.closed > closed)


async def test_a_partition_that_waits_is_told_although_another_one_goes_well() -> None:
    """Cassandra is said to be back when nobody's rows wait any more."""
    nodes = Nodes(lambda login: login.user == "a")
    nodes.refusal = cassandra.Unavailable("too few")
    writer = await _writer(nodes)
    with capture_logs() as said:
        writing = asyncio.create_task(writer.write(_logins("a")))
        await until(lambda: writer.problem is not None)
        await writer.write(_logins("b"))
        assert "(partitions that wait: 1)" in (writer.problem or "")
        assert 1 == next(line["partitions"] for line in said if line["action"] == "cassandra_failing")
        assert "cassandra_back" not in [line["action"] for line in said]

        nodes.refuses = lambda _login: False
        await writing

    assert ["cassandra_back"] == [line["action"] for line in said if line["log_level"] == "info"]


async def test_what_was_not_said_is_not_said_to_be_over() -> None:
    """Of an error that comes and goes there is a line in 30 s, and so of its end."""
    nodes = Nodes()
    nodes.refusal = cassandra.Unavailable("too few")
    writer = await _writer(nodes)
    with capture_logs() as said:
        for _ in range(5):
            refusals = iter((True, False))
            nodes.refuses = lambda _login, refusals=refusals: next(refusals)  # type: ignore[misc]
            await writer.write(_logins("a"))

    assert ["cassandra_failing", "cassandra_back"] == [line["action"] for line in said]


def test_what_is_said_names_no_user() -> None:
    """Cassandra says the key of a partition that somebody has denied."""
    words = "Unable to write to denylisted partition [0xDecoratedKey(-35596, 677561)] in a/b"

    assert "denylisted partition [key] in a/b" in explain(cassandra.InvalidRequest(words))


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({"node": ServerError(0, "", None)}, Blame.UNKNOWN),
        ({"node": OverloadedErrorMessage(0, "", None)}, Blame.CLUSTER),
        ({"node": ServerError(0, "", None), "other": OSError()}, Blame.CLUSTER),
        ({}, Blame.CLUSTER),
        ([], Blame.CLUSTER),
    ],
)
def test_an_error_of_every_server_may_be_because_of_a_row(errors: Any, expected: Blame) -> None:
    """The driver asks each node in turn, and says that none is available."""
    error = NoHostAvailable("none", errors)

    assert expected == blame(error)
    # Whoever answers is alive, whatever he says; and says more than that nobody answers.
    assert is_answer(error) == bool(errors)
    assert ("no node answers" in explain(error)) == (not errors)


async def test_nodes_that_refuse_are_not_silent() -> None:
    """Their session is kept, for another one would hear the same."""
    nodes = Nodes(lambda _login: True)
    nodes.refusal = FULL
    now = [0.0]
    writer = await _writer(nodes, clock=lambda: now[0])
    writing = asyncio.create_task(writer.write(_logins("a")))
    await until(lambda: nodes.looks > 5)
    now[0] += 2 * SILENCE_S
    seen = nodes.looks
    await until(lambda: nodes.looks > seen + 5)
    writer._look_for_silence()
    nodes.refuses = lambda _login: False
    await writing

    assert writer._replacing is None


async def test_what_is_forgotten_once_is_no_problem() -> None:
    """The statements are prepared again, and readiness does not flap with an old reason."""
    nodes = Nodes(lambda _login: nodes.looks == 0)
    nodes.refusal = StatementsForgotten("which")
    writer = await _writer(nodes)
    with capture_logs() as said:
        writing = asyncio.create_task(writer.write(_logins("a")))
        await until(lambda: nodes.looks == 1)
        assert writer.problem is None
        await writing

    assert [] == said


async def test_nodes_that_the_driver_has_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked for the reason, which is told and kept; a new session comes when they let us in again."""
    monkeypatch.setattr("lastlogin_consumer.writer._KNOCK_EVERY_S", 0)
    nodes = Nodes(lambda _login: nodes.sessions == 1)
    nodes.refusal = NoHostAvailable("Unable to complete the operation against any hosts", {})
    nodes.lock = cassandra.AuthenticationFailed("Bad credentials")
    writer = await _writer(nodes)
    with capture_logs() as said:
        writing = asyncio.create_task(writer.write(_logins("a")))
        await until(lambda: nodes.knocks > 2)
        assert "check username and password" in str(writer.problem)
        assert 1 == nodes.sessions
        nodes.lock = None
        await writing

    assert nodes.sessions > 1
    assert ["no node answers", "Cassandra refuses the login"] == [line["why"].partition(":")[0] for line in said[:2]]
    assert "session_replaced" == said[2]["action"]


async def test_a_reason_ends_with_its_outage() -> None:
    """What kept the driver out until it came back by itself is not told of the next outage."""
    nodes = Nodes(lambda _login: True)
    nodes.refusal = NoHostAvailable("Unable to complete the operation against any hosts", {})
    nodes.lock = cassandra.AuthenticationFailed("Bad credentials")
    writer = await _writer(nodes)
    for told in ("check username and password", "no node answers"):
        nodes.refuses = lambda _login: True
        writing = asyncio.create_task(writer.write(_logins("a")))
        await until(lambda told=told: told in str(writer.problem))
        nodes.refuses = lambda _login: False
        await writing
    await writer.close(1)


@pytest.mark.parametrize("lock", [None, cassandra.AuthenticationFailed("Bad credentials")])
async def test_a_knock_that_ends_after_the_outage(lock: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing any more, and the session is kept: rows are acknowledged by then."""
    monkeypatch.setattr("lastlogin_consumer.writer._KNOCK_EVERY_S", 0)
    nodes = Nodes(lambda _login: True)
    nodes.refusal = NoHostAvailable("Unable to complete the operation against any hosts", {})
    nodes.lock = lock
    nodes.answering.clear()
    writer = await _writer(nodes)
    with capture_logs() as said:
        writing = asyncio.create_task(writer.write(_logins("a")))
        await until(lambda: writer.problem is not None)
        nodes.refuses = lambda _login: False
        await writing
        knocking = writer._knocking
        assert knocking is not None
        nodes.answering.set()
        await knocking

    assert (1, 1) == (nodes.knocks, nodes.sessions)
    assert ["cassandra_failing", "cassandra_back"] == [line["action"] for line in said]
