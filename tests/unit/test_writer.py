"""Whom the writer blames when rows are refused, what it says, and what it does about silence."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any

import cassandra
import pytest
from cassandra.cluster import NoHostAvailable
from cassandra.protocol import ServerError
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from lastlogin_consumer.decode import Login
from lastlogin_consumer.metrics import ConsumerMetrics
from lastlogin_consumer.outcome import Blame, blame
from lastlogin_consumer.ring import Ring
from lastlogin_consumer.table import explain
from lastlogin_consumer.writer import SILENCE_S, Writer
from lastlogin_schemas.table import TableMapping
from lastlogin_service.backoff import Backoff
from tests.support.logins import AT_US
from tests.support.memory import until


class Nodes:
    """A table whose nodes take what `refuses` lets through; they answer at once, except to `unanswered` users."""

    def __init__(self, refuses: Callable[[Login], bool] = lambda _login: False) -> None:
        self.refuses = refuses
        self.refusal: Exception = cassandra.InvalidRequest("guardrail")
        self.unanswered: set[str] = set()
        self.looks = self.sessions = 0
        self.session = SimpleNamespace(execute_async=self._execute)
        self.topology = SimpleNamespace(ring=Ring)
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

    def close(self) -> None:
        """Nothing."""

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


async def _writer(nodes: Nodes, silence_s: float = SILENCE_S) -> Writer:
    def opened(_wanted: TableMapping) -> Any:
        nodes.sessions += 1
        return nodes

    backoff = partial(Backoff, 1e-6, 1e-6, Random(0))  # noqa: S311 - jitter
    writer = Writer(TableMapping(), opened, backoff, ConsumerMetrics(CollectorRegistry()), silence_s=silence_s)
    await writer.connect()
    return writer


def _logins(*users: str) -> list[Login]:
    return [Login(user, "imap", AT_US, b"", True, offset) for offset, user in enumerate(users)]


async def test_rows_that_are_refused_while_others_are_taken_come_back() -> None:
    """Twice alone, with a look at the table in between."""
    nodes = Nodes(lambda login: login.user.startswith("bad"))
    refused = await (await _writer(nodes)).write(_logins("a", "bad1", "b", "bad2"))

    assert ["bad1", "bad2"] == sorted(refusal.login.user for refusal in refused)
    assert 1 == nodes.looks


async def test_one_row_that_is_refused_comes_back() -> None:
    """Also when there is nothing else to write."""
    refused = await (await _writer(Nodes(lambda _login: True))).write(_logins("bad"))

    assert ["bad"] == [refusal.login.user for refusal in refused]


async def test_when_all_rows_are_refused_it_is_not_the_rows() -> None:
    """A full disk and some guardrails are refusals, too: nothing comes back, it is told, and all is written later."""
    nodes = Nodes(lambda _login: True)
    writer = await _writer(nodes)
    writing = asyncio.create_task(writer.write(_logins("a", "b", "c")))
    await until(lambda: nodes.looks > 5)
    assert not writing.done()
    assert "Cassandra cannot be written to" in (writer.problem or "")

    nodes.refuses = lambda _login: False
    assert [] == await writing
    assert writer.problem is None


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


def test_what_is_said_names_no_user() -> None:
    """Cassandra says the key of a partition that somebody has denied."""
    words = "Unable to write to denylisted partition [0xDecoratedKey(-35596, 677561)] in a/b"

    assert "denylisted partition [key] in a/b" in explain(cassandra.InvalidRequest(words))


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({"node": ServerError(0, "", None)}, Blame.UNKNOWN),
        ({"node": ServerError(0, "", None), "other": OSError()}, Blame.CLUSTER),
        ({}, Blame.CLUSTER),
        ([], Blame.CLUSTER),
    ],
)
def test_an_error_of_every_server_may_be_because_of_a_row(errors: Any, expected: Blame) -> None:
    """The driver asks each node in turn, and says that none is available."""
    assert expected == blame(NoHostAvailable("none", errors))
