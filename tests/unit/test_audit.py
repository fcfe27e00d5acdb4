"""The audit can fail: each kind of loss is told from every other, and from what is allowed."""

from pathlib import Path

import pytest

from lastlogin_schemas.event import RawWrite
from tests.support.audit import Findings, Kept, audit, holes
from tests.support.ledger import Account, Ledger
from tests.support.logins import login


STREAM = ("mail1", 1)


def kept(sequence: int, user: str | None = None, epoch: int = 1) -> Kept:
    """A message as it lies on a topic; its user is named after the sequence."""
    return Kept(user or f"u{sequence}", ("mail1", epoch), sequence, f"events/0@{sequence - 1}")


def account(acked: str, unconfirmed: str = "") -> Account:
    """Users by name."""
    return Account(frozenset(acked.split()), frozenset(unconfirmed.split()))


def complaints(findings: Findings) -> tuple[list[str], list[str], list[int]]:
    """Who is missing, who is invented, which sequences are holes."""
    holes = [sequence for sequences in findings.holes.values() for sequence in sequences]
    return list(findings.missing), [each.user for each in findings.invented], holes


def test_all_there() -> None:
    """Acknowledged and unconfirmed logins that are all there, in any order, are no complaint."""
    found = audit(account("u1 u2", "u3 u4"), [kept(3), kept(1), kept(2)], {STREAM: 3})

    assert found.clean
    assert ([], [], []) == complaints(found)
    assert (2, 2, 3, 0) == (found.acked, found.unconfirmed, found.kept, found.repeated)


def test_a_lost_login() -> None:
    """An acknowledged login that is nowhere is missing, though its sequence was given to another."""
    found = audit(account("u1 u2 u3"), [kept(1), kept(2, "u3")])

    assert not found.clean
    assert (["u2"], [], []) == complaints(found)
    assert "missing: the acknowledged login of u2" in str(found)


def test_an_invented_login() -> None:
    """A login that nobody sent, or that was refused, is invented, and told with its place."""
    found = audit(account("u1"), [kept(1), kept(2, "ghost")])

    assert not found.clean
    assert ([], ["ghost"], []) == complaints(found)
    assert "invented: ghost, sequence 2, at events/0@1" in str(found)


def test_a_hole() -> None:
    """A sequence that is nowhere is a hole although no acknowledged login is missing; its neighbours are named."""
    found = audit(account("u1 u3", "u2"), [kept(1), kept(3)])

    assert not found.clean
    assert ([], [], [2]) == complaints(found)
    assert "hole: sequence 2 of mail1/1; beside it 1 at events/0@0, 3 at events/0@2" in str(found)


def test_a_hole_at_the_end() -> None:
    """The loss of the last ones shows by the last sequence that was given out, even when nothing is left at all."""
    assert [3, 4] == complaints(audit(account("u1 u2"), [kept(1), kept(2)], {STREAM: 4}))[2]
    assert [1, 2] == complaints(audit(account(""), [], {STREAM: 2}))[2]


def test_epochs_are_counted_apart() -> None:
    """A sequence of one epoch does not fill the hole of another."""
    found = audit(account("u1 u2 x"), [kept(1), kept(1, "x", epoch=2), kept(2, "u2", epoch=2), kept(3, "u1")])

    assert {("mail1", 1): [2]} == found.holes


def test_repeated_messages() -> None:
    """A message that is there twice is counted and no complaint."""
    found = audit(account("u1 u2"), [kept(1), kept(2), kept(2)])

    assert found.clean
    assert 1 == found.repeated


def test_holes_without_a_ledger() -> None:
    """Origins alone show holes, but for what is set aside; a record without origin is nobody's."""
    origins = [b"mail1/1/1", b"mail1/1/4", b"mail1/1/4", None, b"a/b/2/1"]

    assert {"mail1/1": [2, 3]} == holes(origins)
    assert {"mail1/1": [2]} == holes(origins, {"mail1/1": [3]})


def test_events_and_raw_writes() -> None:
    """Both kinds of message say whose they are and where they come from; a user need not be UTF-8."""
    raw = RawWrite(b"\xff", "bad_value", backend="mail1", epoch=1, sequence=2)

    assert ("test1", STREAM, 1, "there") == Kept.of(login(), "there")
    assert ("\udcff", STREAM, 2, "there") == Kept.of(raw, "there")


def test_the_ledger(tmp_path: Path) -> None:
    """It tells acknowledged, unconfirmed and refused logins apart, also after it was opened again."""
    for users in ("abc", "d"):
        with Ledger(tmp_path / "ledger") as ledger:
            for user in users:
                ledger.sent(user)
            if "a" in users:
                ledger.acked("a")
                ledger.refused("b")

    assert account("a", "c d") == ledger.account()


@pytest.mark.parametrize("lines", [("sent", "sent"), ("acked",), ("sent", "acked", "acked")])
def test_a_ledger_of_other_logins(tmp_path: Path, lines: tuple[str, ...]) -> None:
    """A user sent or answered twice, and an answer to nothing, are a defect of the test, and no account."""
    (tmp_path / "ledger").write_text("".join(f"{line} a\n" for line in lines))
    with Ledger(tmp_path / "ledger") as ledger, pytest.raises(ValueError, match="not a login of its own"):
        ledger.account()
