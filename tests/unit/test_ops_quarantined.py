"""What `lastlogin quarantine` reads and shows."""

import json
from datetime import UTC
from typing import Any

import pytest

from lastlogin_ops.quarantined import (
    MAX_REASONS,
    Chosen,
    Newest,
    Tally,
    document,
    found_in,
    line,
    whole_document,
    whole_text,
)
from lastlogin_schemas.framing import prefix
from lastlogin_schemas.schema import LOGIN_EVENT, RAW_WRITE
from tests.support.aside import WRITE, aside_record, published, write
from tests.support.logins import LOGIN, event_record, record


NOTHING = record(None, key=None, offset=7)


def test_line() -> None:
    """Place, time of receipt, backend, dict, reason and detail in columns; never the user, nor the key with it."""
    shown = line(found_in(aside_record(WRITE, offset=17), {}), UTC)

    assert shown == (
        f"0:17       2023-11-14 22:13:20.166+00:00  {'mail1':<20}  statsdb   bad_key       "
        "the key fits no configured pattern"
    )
    assert "test1" not in json.dumps(document(found_in(aside_record(WRITE), {}), "q"))


def test_text_from_outside() -> None:
    """Control characters are escaped, long text is cut, and a time beyond any calendar is a number."""
    raw = write(reason="a\nb", detail="x" * 1_000, dict_name="", backend="", received_at_us=2**63 - 1)

    shown = line(found_in(aside_record(raw), {}), UTC)

    assert r"a\nb" in shown
    assert "\n" not in shown
    assert len(shown) < 300
    assert "9223372036854775807 us" in shown


def test_whole_record() -> None:
    """`show` has user, entries, reason and origin; bytes that are no text are escaped, checksum is told."""
    raw = write(user=b"a\xff", key=b"shared/\x1b", value=b"\x00")

    assert whole_text(found_in(aside_record(raw, offset=3), {}), aside_record(raw, offset=3), UTC).splitlines() == [
        "record    0:3 of events",
        "appended  2023-11-14 22:13:20.161+00:00",
        "received  2023-11-14 22:13:20.166+00:00",
        "reason    bad_key: the key fits no configured pattern",
        "backend   mail1",
        "origin    mail1/17/4",
        "checksum  good",
        "dict      statsdb",
        r"user      a\xff",
        r"key       shared/\x1b",
        r"value     \x00",
    ]


def test_whole_record_for_programs() -> None:
    """Bytes are text where they are UTF-8, else hexadecimal; every field is there."""
    raw = write(user=b"a\xff")

    told = json.loads(whole_document(found_in(aside_record(raw), {}), aside_record(raw)))

    assert told == {
        "topic": "events",
        "partition": 0,
        "offset": 0,
        "appended_at": "2023-11-14T22:13:20.161Z",
        "appended_at_ms": 1_700_000_000_161,
        "origin": "mail1/17/4",
        "checksum": "good",
        "backend": "mail1",
        "reason": "bad_key",
        "detail": "the key fits no configured pattern",
        "dict_name": "statsdb",
        "received_at_us": WRITE.received_at_us,
        "epoch": 17,
        "sequence": 4,
        "user": {"hex": "61ff"},
        "entries": [{"key": "shared/seen/imap/test1/192.0.2.1", "value": "1700000000161"}],
    }


@pytest.mark.parametrize(
    ("bad", "reason", "checksum", "backend"),
    [
        (NOTHING, "null_value", "none", "-"),
        (record(b"what"), "unknown_framing", "none", "-"),
        (record(published(WRITE)[1], [("crc32c", b"00000000"), ("origin", b"mail9/1/2")]), "checksum_mismatch", "wrong",
         "mail9"),
        (event_record(LOGIN), "unknown_schema", "good", "mail1"),
        (record(published(WRITE)[1][:-1]), "malformed_avro", "none", "-"),
        (record(published(WRITE)[1], [("crc32c", b"x")]), "malformed_header", "wrong", "-"),
    ],
)  # fmt: skip
def test_what_cannot_be_decoded(bad: Any, reason: str, checksum: str, backend: str) -> None:
    """It is shown in every form as `undecodable`, with the reason, and its backend as the header says."""
    found = found_in(bad, {})
    told = json.loads(whole_document(found, bad))

    assert (found.reason, found.checksum, found.backend or "-") == ("undecodable", checksum, backend)
    assert f"undecodable   {reason}: " in line(found, UTC)
    assert f"reason    undecodable: {reason}: " in whole_text(found, bad, UTC)
    assert (told["reason"], told["undecodable"]) == ("undecodable", reason)
    assert {"record_key", "record_value"} <= told.keys()


def test_record_without_a_checksum() -> None:
    """A foreign producer's record without a checksum is read, and is said to have none."""
    key, value, _ = published(WRITE)

    found = found_in(record(value, key=key), {})

    assert (found.write, found.checksum, found.origin) == (WRITE, "none", "")


def test_registry_ids() -> None:
    """A write in Confluent's framing is read by the schema that its id is configured to stand for."""
    _, value, headers = published(WRITE)
    framed = record(prefix(RAW_WRITE, 8) + value[10:], headers)

    assert WRITE == found_in(framed, {8: RAW_WRITE}).write
    assert "undecodable" == found_in(framed, {8: LOGIN_EVENT}).reason


def test_chosen() -> None:
    """Reasons and backends are compared letter by letter, and both must fit; without either everything is meant."""
    found = found_in(aside_record(WRITE), {})

    assert Chosen().takes(found)
    assert Chosen(frozenset({"bad_value", "bad_key"}), frozenset({"mail1"})).takes(found)
    assert not Chosen(frozenset({"bad_value"})).takes(found)
    assert not Chosen(frozenset({"bad_key"}), frozenset({"mail2"})).takes(found)
    assert Chosen(frozenset({"undecodable"})).takes(found_in(NOTHING, {}))


def test_newest() -> None:
    """Of more records than the limit the newest lines are kept, over partitions too, oldest first."""
    newest = Newest(2)
    for partition, appended_ms in ((0, 1_000), (0, 4_000), (1, 3_000), (1, 2_000)):
        found = found_in(aside_record(WRITE, partition=partition, appended_ms=appended_ms), {})
        newest.add(found, str(appended_ms))

    assert newest.lines() == ["3000", "4000"]
    empty = Newest(0)
    empty.add(found, "none")
    assert empty.lines() == []


def test_tally() -> None:
    """Records are counted by reason, the most frequent first, and it is said when not all were shown."""
    tally = Tally()
    assert "The quarantine is empty." == tally.text(0)
    assert "No record in the quarantine is as asked for." == tally.text(0, narrowed=True)
    tally.add("bad_key")
    assert tally.text(1) == "1 record:\n        1  bad_key"
    tally.add("bad_value")
    tally.add("bad_value")

    assert tally.text(1) == "3 records, the newest 1 of them above:\n        2  bad_value\n        1  bad_key"


def test_invented_reasons_are_bounded() -> None:
    """Whoever writes a reason of its own into each record does not fill the memory."""
    tally = Tally()
    for number in range(MAX_REASONS + 50):
        tally.add(f"r{number}")

    assert len(tally.reasons) == MAX_REASONS + 1
    assert tally.reasons["(others)"] == 50
