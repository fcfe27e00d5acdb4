"""Reading a table that does not always answer."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from cassandra import OperationTimedOut, Unauthorized

from lastlogin_ops.audit import rows
from lastlogin_ops.audit.rows import Table, scan_cql
from lastlogin_schemas.table import ServiceColumns, TableMapping
from lastlogin_service.cassandra import CassandraSettings
from lastlogin_service.exits import Exit


MAPPING = TableMapping(services={"imap": ServiceColumns("time", "address"), "pop3": ServiceColumns("other", None)})
SETTINGS = CassandraSettings(contact_points=["c"])
ROW = ("ü", 5, 5_000, b"\x01", 5_000, None, None)


class Answers:
    """A session whose requests end as the test says, in order; errors are raised by the result."""

    def __init__(self, *answers: Exception | tuple[list[Any], bytes | None]) -> None:
        self.asked: list[tuple[tuple[int, int], bytes | None]] = []
        self._answers = iter(answers)

    def execution_profile_clone_update(self, profile: object, **changes: object) -> None:
        """Nothing that a test looks at."""

    def prepare(self, cql: str) -> SimpleNamespace:
        """Something that takes attributes."""
        return SimpleNamespace()

    def execute_async(
        self, statement: object, parameters: tuple[int, int], *, execution_profile: object, paging_state: bytes | None
    ) -> SimpleNamespace:
        """A future of the next answer."""
        self.asked.append((parameters, paging_state))
        answer = next(self._answers)

        def result() -> SimpleNamespace:
            if isinstance(answer, Exception):
                raise answer
            return SimpleNamespace(current_rows=answer[0], paging_state=answer[1])

        return SimpleNamespace(result=result)


@pytest.fixture(autouse=True)
def _one_part_without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PARTS", 1)
    monkeypatch.setattr(rows, "_PAUSE_S", 0)


def table(session: Answers) -> Table:
    """The table of these answers."""
    return Table(cast("Any", session), MAPPING, SETTINGS)


def test_a_page_is_asked_for_again() -> None:
    """A request that fails is repeated from where it was; what was read is not read again."""
    away = OperationTimedOut()
    session = Answers(away, ([ROW], b"page 2"), away, away, away, away, ([], None))

    pages = list(table(session).pages())

    fact = ("ü".encode(), 0, 5, 5_000, b"\x01", 5_000)
    assert pages == [([fact], 0), ([], 1)]
    whole_ring = (-(2**63), 2**63 - 1)
    assert session.asked == [(whole_ring, None)] * 2 + [(whole_ring, b"page 2")] * 5


def test_given_up() -> None:
    """After the fifth failure of one page it is a sentence and 69."""
    with pytest.raises(Exit) as end:
        list(table(Answers(*[OperationTimedOut()] * 5)).pages())

    assert end.value.code == 69
    assert end.value.message.startswith("Cassandra could not answer (c port 9042): ")


def test_a_right_that_lacks() -> None:
    """It is not asked for again; what Cassandra says is a sentence and 78."""
    with pytest.raises(Exit) as end:
        list(table(Answers(Unauthorized("User care has no SELECT permission"))).pages())

    assert end.value.code == 78
    assert end.value.message.startswith("the user in [cassandra] lacks a right: ")


def test_select() -> None:
    """Names are quoted; where there is no address column none is asked for."""
    assert scan_cql(MAPPING) == (
        'SELECT "user", toUnixTimestamp("time"), WRITETIME("time"), inetAsBlob("address"), WRITETIME("address"), '
        'toUnixTimestamp("other"), WRITETIME("other") FROM "statsdb"."dovecot_stats" '
        'WHERE token("user") > ? AND token("user") <= ?'
    )


def test_select_where_rows_are_of_services() -> None:
    """The pair of columns that all services share is asked for once, and tokens are of the whole partition key."""
    services = dict.fromkeys(("imap", "pop3"), ServiceColumns("at", "ip"))
    mapping = TableMapping("k", "t", "userid", services, "service", "text", ("service", "userid"))

    assert scan_cql(mapping) == (
        'SELECT "userid", "service", toUnixTimestamp("at"), WRITETIME("at"), textAsBlob("ip"), WRITETIME("ip") '
        'FROM "k"."t" WHERE token("service", "userid") > ? AND token("service", "userid") <= ?'
    )


def test_rows_of_services() -> None:
    """Each row is of its service; those of services that are not ours, and without a time, are passed."""
    services = dict.fromkeys(("imap", "pop3"), ServiceColumns("at", "ip"))
    mapping = TableMapping("k", "t", "userid", services, "service", "text")
    found = [("u", "pop3", 5, 5_000, b"::1", 5_000), ("u", "sieve", 5, 5_000, b"", 5_000), ("u", "imap", *[None] * 4)]

    [(facts, _)] = Table(cast("Any", Answers((found, None))), mapping, SETTINGS).pages()

    assert facts == [(b"u", 1, 5, 5_000, b"::1", 5_000)]
