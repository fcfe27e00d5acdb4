"""What `lastlogin quarantine` reads and shows."""

import json
from datetime import UTC
from typing import Any

import pytest

from lastlogin_ops.quarantined import Quarantined, quarantined
from lastlogin_ops.set_aside import MAX_REASONS, Chosen, Newest, Tally
from lastlogin_schemas.event import RawWrite
from lastlogin_schemas.framing import prefix
from lastlogin_schemas.schema import LOGIN_EVENT, RAW_WRITE
from tests.support.aside import WRITE, aside_record, published, write
from tests.support.logins import LOGIN, event_record, record


NOTHING = record(None, key=None, offset=7)


def found(raw: RawWrite, **where: Any) -> Quarantined:
    """A write as it is read from the topic."""
    return quarantined(aside_record(raw, **where), {})


def test_line() -> None:
    """Place, time of receipt, backend, dict, reason and detail in columns; never the user, nor the key with it."""
    shown = found(WRITE, offset=17).line(UTC)

    assert shown == (
        f"0:17       2023-11-14 22:13:20.166+00:00  {'mail1':<20}  statsdb   bad_key       "
        "the key fits no configured pattern"
    )
    assert "test1" not in json.dumps(found(WRITE).document())


def test_text_from_outside() -> None:
    """Control characters are escaped, long text is cut, and a time beyond any calendar is a number."""
    raw = write(reason="a\nb", detail="x" * 2_000, dict_name="", backend="", received_at_us=2**63 - 1)

    shown = found(raw).line(UTC)
    assert "x" * 1_000 == found(raw).document()["detail"]
    assert "x" * 2_000 == json.loads(found(raw).whole_document())["detail"]

    assert r"a\nb" in shown
    assert "\n" not in shown
    assert len(shown) < 300
    assert "9223372036854775807us" in shown


def test_whole_record() -> None:
    """`show` has user, entries, reason and origin; bytes that are no text are escaped, checksum is told."""
    raw = write(user=b"a\xff", key=b"shared/\x1b", value=b"\x00")

    assert found(raw, offset=3).whole_text(UTC).splitlines() == [
        "record    0:3 of events",
        "appended  2023-11-14 22:13:20.161+00:00",
        "reason    bad_key: the key fits no configured pattern",
        "backend   mail1",
        "origin    mail1/17/4",
        "checksum  good",
        "received  2023-11-14 22:13:20.166+00:00",
        "dict      statsdb",
        r"user      a\xff",
        r"key       shared/\x1b",
        r"value     \x00",
    ]


def test_whole_record_for_programs() -> None:
    """Bytes are text where they are UTF-8, else hexadecimal; every field is there."""
    raw = write(user=b"a\xff")

    told = json.loads(found(raw).whole_document())

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
    read = quarantined(bad, {})
    told = json.loads(read.whole_document())

    assert (read.reason, read.checksum, read.backend or "-") == ("undecodable", checksum, backend)
    assert f"undecodable   {reason}: " in read.line(UTC)
    assert f"reason    undecodable: {reason}: " in read.whole_text(UTC)
    assert (told["reason"], told["undecodable"]) == ("undecodable", reason)
    assert {"record_key", "record_value"} <= told.keys()


def test_record_without_a_checksum() -> None:
    """A foreign producer's record without a checksum is read, and is said to have none."""
    key, value, _ = published(WRITE)

    read = quarantined(record(value, key=key), {})

    assert (read.message, read.checksum, read.origin) == (WRITE, "none", "")


def test_registry_ids() -> None:
    """A write in Confluent's framing is read by the schema that its id is configured to stand for."""
    _, value, headers = published(WRITE)
    framed = record(prefix(RAW_WRITE, 8) + value[10:], headers)

    assert WRITE == quarantined(framed, {8: RAW_WRITE}).message
    assert "undecodable" == quarantined(framed, {8: LOGIN_EVENT}).reason


def test_chosen() -> None:
    """Reasons and backends are compared letter by letter, and both must fit; without either everything is meant."""
    read = found(WRITE)

    assert Chosen().takes(read)
    assert Chosen(frozenset({"bad_value", "bad_key"}), frozenset({"mail1"})).takes(read)
    assert not Chosen(frozenset({"bad_value"})).takes(read)
    assert not Chosen(frozenset({"bad_key"}), frozenset({"mail2"})).takes(read)
    assert Chosen(frozenset({"undecodable"})).takes(quarantined(NOTHING, {}))


def test_whose() -> None:
    """A record is its write's user's, byte by byte; one that cannot be read its key's, and without a key nobody's."""
    odd, unreadable = write(user=b"a\xff"), record(None, key=b"test1", offset=7)

    assert [found(WRITE).user, found(odd).user] == [b"test1", b"a\xff"]
    assert [quarantined(each, {}).user for each in (unreadable, NOTHING)] == [b"test1", None]
    assert Chosen(user=b"test1").takes(found(WRITE))
    assert Chosen(user=b"test1").takes(quarantined(unreadable, {}))
    for other in (found(odd), quarantined(NOTHING, {})):
        assert not Chosen(user=b"test1").takes(other)
    assert not Chosen(frozenset({"bad_value"}), user=b"test1").takes(found(WRITE))


def test_newest() -> None:
    """Of more records than the limit the newest lines are kept, over partitions too, oldest first."""
    newest = Newest(2)
    for partition, appended_ms in ((0, 1_000), (0, 4_000), (1, 3_000), (1, 2_000)):
        newest.add(found(WRITE, partition=partition, appended_ms=appended_ms), str(appended_ms))

    assert newest.lines() == ["3000", "4000"]
    empty = Newest(0)
    empty.add(found(WRITE), "none")
    assert empty.lines() == []


def test_tally() -> None:
    """Records are counted by reason, the most frequent first, with the times of the first and the last."""
    tally = Tally()
    tally.add(found(WRITE))
    assert (tally.lines(), tally.between(UTC)) == (["        1  bad_key"], "of 2023-11-14 22:13:20.161+00:00")
    tally.add(found(write(reason="bad_value"), appended_ms=1_000))
    tally.add(found(write(reason="bad_value"), appended_ms=2_000))

    assert (tally.records, tally.lines()) == (3, ["        2  bad_value", "        1  bad_key"])
    assert tally.between(UTC) == "of 1970-01-01 00:00:01.000+00:00 to 2023-11-14 22:13:20.161+00:00"


def test_invented_reasons_are_bounded() -> None:
    """Whoever writes a reason of its own into each record does not fill the memory."""
    tally = Tally()
    for number in range(MAX_REASONS + 50):
        tally.add(found(write(reason=f"r{number}")))

    assert len(tally.reasons) == MAX_REASONS + 1
    assert tally.reasons["(others)"] == 50

    tally = Tally()
    tally.add(found(write(reason="\n" + "x" * 1_000_000)))
    [(reason, _)] = tally.reasons.items()
    assert (reason[:3], len(reason) < 200) == (r"\nx", True)
