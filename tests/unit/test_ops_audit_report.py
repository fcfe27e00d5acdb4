"""What an audit says."""

import json

from lastlogin_ops.audit.report import MAX_SHOWN, Report
from lastlogin_ops.audit.sequences import Hole
from lastlogin_ops.audit.verdicts import Case, Known, Row, Verdict
from lastlogin_schemas.table import AddressType


AT_US = 1_700_000_000_161_000
DUE = Known(AT_US, b"\xc0\x00\x02\x01", 3, 17)
ROW = Row(AT_US // 1000 - 1, AT_US - 1_000, b"", AT_US - 1_000)
CASE = Case(b"alice@example.org\x1b", 0, DUE, None, None, ROW)


def report(address_type: AddressType = "inet", *, keeps_cases: bool = False) -> Report:
    """An empty one."""
    return Report("events", "group", ["imap", "pop3"], address_type, keeps_cases=keeps_cases)


def test_nothing_wrong() -> None:
    """Counts, and that nothing is wrong; logins that cannot be verified are not."""
    found = report()
    found.add_records(AT_US // 1000, AT_US // 1000 + 5, 2)
    found.add_records(AT_US // 1000 - 5, AT_US // 1000 + 1, 1)
    found.pending = 1
    for verdict in (Verdict.RIGHT, Verdict.PENDING, Verdict.NEWER, Verdict.EXPIRED):
        found.add_case(CASE, verdict)

    assert found.wrong == 0
    lines = found.text().splitlines()
    assert lines[0].startswith("events     3 records of events, 2023-11-14 ")
    assert lines[1:] == [
        "           1 is not due: not committed by group",
        "aside      0 in quarantine, 0 dead letters",
        "sequences  0, one for each producer and epoch; 0 numbers are missing",
        "rows       1 right, 1 not due",
        "           1 expired: their newest login is older than Cassandra keeps it",
        "           1 newer than every event: cannot be verified",
        "Nothing is wrong.",
    ]
    assert found.document()["events"]["first_appended_at"] == "2023-11-14T22:13:20.156Z"
    assert "details" not in found.document()


def test_nothing_was_due() -> None:
    """Without a row that could be held against its event it is not said that all is well."""
    found = report()
    found.add_records(AT_US // 1000, AT_US // 1000, 1)
    found.add_case(CASE, Verdict.PENDING)

    assert found.text().endswith("\nNothing is wrong, and nothing is shown to be right: no row was due.")


def test_something_wrong() -> None:
    """Each kind has its line, and its place in the document; without being asked no user is named."""
    found = report()
    found.unmapped, found.unnumbered, found.unjudged, found.cut_ms = 4, 5, 1, AT_US // 1000
    found.add_not_set_aside(0, 7)
    found.add_not_set_aside(1, 9)
    for offset in range(3):
        found.add_unreadable("events", 2, offset)
    found.add_holes([Hole("mail1", 17, 3, 3), Hole("mail2", 1, 5, 8)])
    for verdict in (Verdict.MISSING, Verdict.OLDER):
        found.add_case(CASE, verdict)

    assert found.wrong == 2 + 3 + 5 + 2
    text = found.text()
    for line in (
        "           4 are of services without a column\n",
        "  WRONG    2 are no logins, and no dead letters: 0:7, 1:9\n",
        "  WRONG    3 cannot be read: events 2:0, events 2:1, events 2:2\n",
        "  WRONG    mail1, epoch 17: 3\n",
        "  WRONG    mail2, epoch 1: 5 to 8\n",
        "           5 records have no number, 1 was too many to judge\n",
        "  WRONG    1 missing\n",
        "  WRONG    1 older than their newest event\n",
    ):
        assert line in text
    assert "on; some records before are deleted" in text
    assert text.endswith("Something is wrong.")
    told = json.dumps(found.document())
    assert "alice" not in text + told
    assert found.document()["sequences"]["holes"][1] == {"producer": "mail2", "epoch": 1, "first": 5, "last": 8}
    assert found.document()["rows"]["wrong"]["older"] == 1
    assert found.document()["events"]["places"] == ["0:7", "1:9"]
    assert found.document()["unreadable"] == {"records": 3, "places": ["events 2:0", "events 2:1", "events 2:2"]}
    assert found.document()["sequences"]["judged_from"] == "2023-11-14T22:13:20.161Z"


def test_details() -> None:
    """On request rows that are wrong are told with user, event and row; control characters do not reach a terminal."""
    found = report(keeps_cases=True)
    found.add_case(CASE, Verdict.OLDER)
    found.add_case(Case(b"bob\xff", 1, DUE, None, None, None), Verdict.MISSING)
    found.add_case(Case(b"carol", 1, None, None, None, ROW._replace(address=None)), Verdict.NO_EVENT)
    found.add_case(CASE, Verdict.RIGHT)

    older, missing, invented = found.document()["details"]
    assert older == {
        "verdict": "older",
        "user": "alice@example.org\x1b",
        "service": "imap",
        "event": {"partition": 3, "offset": 17, "login_at_us": AT_US, "address": "192.0.2.1"},
        "row": {
            "time_ms": AT_US // 1000 - 1,
            "written_us": AT_US - 1_000,
            "address": None,
            "address_written_us": AT_US - 1_000,
        },
    }
    assert (missing["user"], missing["service"], missing["row"]) == ("bob\\xff", "pop3", None)
    assert (invented["event"], invented["row"]["address"]) == (None, None)
    assert (
        f"  older: alice@example.org\\x1b, imap; event 3:17, login {AT_US} us, 192.0.2.1; "
        f"row {AT_US // 1000 - 1} ms, no address, written {AT_US - 1_000} us\n"
    ) in found.text()


def test_details_with_addresses_as_text() -> None:
    """What such a column holds is told as it is, and moves no cursor."""
    found = report("text", keeps_cases=True)
    found.add_case(
        CASE._replace(due=DUE._replace(address=b"192.0.2.1"), row=ROW._replace(address=b"\x1b")), Verdict.ADDRESS
    )

    [detail] = found.document()["details"]
    assert (detail["event"]["address"], detail["row"]["address"]) == ("192.0.2.1", "\x1b")
    assert " ms, \\x1b, written" in found.text()


def test_bounded() -> None:
    """Of each kind so many are shown, and all are counted."""
    found = report(keeps_cases=True)
    many = MAX_SHOWN + 1
    found.add_holes(Hole("m", 1, number, number) for number in range(1, 2 * many, 2))
    for number in range(many):
        found.add_not_set_aside(0, number)
        found.add_unreadable("events", 0, number)
        found.add_case(CASE, Verdict.MISSING)

    assert found.wrong == 4 * many
    told = found.document()
    assert MAX_SHOWN == len(told["details"]) == len(told["sequences"]["holes"]) == len(told["events"]["places"])
    assert MAX_SHOWN == len(told["unreadable"]["places"])
