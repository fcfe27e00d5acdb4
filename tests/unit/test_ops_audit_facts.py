"""What an audit keeps on disk, and gives back sorted."""

import sqlite3

import pytest

from lastlogin_ops.audit.facts import Facts
from lastlogin_ops.audit.verdicts import DUE, PENDING, REFUSED, Case, Known, Row
from lastlogin_service.exits import Exit


def test_cases() -> None:
    """Events and rows of one user and service meet, whatever was added first; each side may lack."""
    with Facts() as facts:
        facts.add_rows([(b"c", 0, 1, 1_000, None, None), (b"a", 1, 2, 2_000, b"", 2_000)])
        facts.add_events(
            [(b"b", 0, DUE, 5, b"x", 0, 1), (b"a", 1, DUE, 7, b"", 0, 2), (b"b", 0, REFUSED, 9, b"", 0, 4)]
        )
        facts.add_events(
            [(b"b", 0, DUE, 5, b"y", 0, 3), (b"b", 0, PENDING, 4, b"", 1, 9), (b"b", 0, PENDING, 3, b"", 1, 8)]
        )

        assert facts.most_cases() == 8
        assert sorted(facts.cases()) == [
            Case(b"a", 1, Known(7, b"", 0, 2), None, None, Row(2, 2_000, b"", 2_000)),
            Case(b"b", 0, Known(5, b"y", 0, 3), Known(4, b"", 1, 9), Known(9, b"", 0, 4), None),
            Case(b"c", 0, None, None, None, Row(1, 1_000, None, None)),
        ]


def test_a_page_read_twice() -> None:
    """A row that comes twice is one; the later reading counts."""
    with Facts() as facts:
        facts.add_rows([(b"a", 0, 1, 1_000, b"", 1_000), (b"a", 0, 2, 2_000, b"", 2_000)])

        assert [case.row for case in facts.cases()] == [Row(2, 2_000, b"", 2_000)]


def test_letters() -> None:
    """Those of a partition are found by their range; of one that comes again, being refused counts."""
    with Facts() as facts:
        facts.add_letters([(0, 5, REFUSED), (0, 7, PENDING), (1, 6, PENDING), (0, 5, PENDING)])

        assert facts.letters(0, 5, 6) == {5: REFUSED}
        assert facts.letters(1, 0, 9) == {6: PENDING}


def test_pieces() -> None:
    """Pieces come sorted by stream and number."""
    with Facts() as facts:
        facts.add_pieces([(b"b", 1, b"x"), (b"a", 9, b"y"), (b"a", 2, b"z")])

        assert [piece[:2] for piece in facts.pieces()] == [(b"a", 2), (b"a", 9), (b"b", 1)]


def test_no_room() -> None:
    """What SQLite cannot write is a sentence and 69."""
    with pytest.raises(Exit) as end, Facts():
        raise sqlite3.OperationalError("database or disk is full")

    assert end.value.code == 69
    assert "disk is full; room for it is taken where TMPDIR points" in end.value.message
