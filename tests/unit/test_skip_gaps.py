"""What is found of a stretch of which some cannot be read."""

from datetime import UTC
from typing import Any

import pytest

from lastlogin_consumer.replay.stretches import Stretch
from lastlogin_consumer.skip.gaps import Survey
from tests.support.logins import record


AT_MS = 1_700_000_000_161


def _record(offset: int, origin: bytes | None = b"mail1/17/1") -> Any:
    headers = () if origin is None else (("origin", origin),)
    return record(b"", headers, offset=offset, appended_ms=AT_MS + offset)


def _survey(first: int, end: int, sound: dict[int, bytes], last: int) -> Survey:
    """A stretch of which only what is in `sound`, by offset, can be read, from 0 to before `last`."""
    survey = Survey(Stretch(2, first, end))
    for offset in range(last):
        if offset in sound:
            survey.read([_record(offset, sound[offset])])
        else:
            survey.unreadable(offset)
    return survey


def test_what_can_be_read_and_what_cannot() -> None:
    """Each offset of the stretch is in one of both; what is before and behind it is not counted."""
    survey = _survey(2, 9, dict.fromkeys((0, 1, 2, 4, 5, 8, 9), b""), 10)

    assert [Stretch(2, 3, 4), Stretch(2, 6, 8)] == survey.given_up
    assert [Stretch(2, 2, 3), Stretch(2, 4, 6), Stretch(2, 8, 9)] == survey.rest
    assert 4 == survey.readable


@pytest.mark.parametrize(("sound", "rest"), [((), []), ((1, 2, 3, 4), [Stretch(2, 1, 4)])])
def test_all_or_nothing(sound: tuple[int, ...], rest: list[Stretch]) -> None:
    """A stretch that is damaged from end to end, and one that is not."""
    survey = _survey(1, 4, dict.fromkeys(sound, b""), 5)

    assert rest == survey.rest
    assert (0 if rest else 3) == sum(each.offsets for each in survey.given_up)


def test_in_words() -> None:
    """Offsets, times of the records around, and between which numbers of each producer."""
    sound = {
        0: b"mail1/17/4",
        1: b"mail2/3/8",
        2: b"mail1/17/5",
        4: b"mail1/17/9",
        5: b"mail2/3/9",
        6: b"mail3/1/2",
        7: b"mail1/17/11",
        10: b"",
    }
    survey = _survey(2, 9, sound, 11)
    others = "    sequence numbers, of which other partitions may have some: "

    assert [
        "5 can be read; with --yes they are written, or set aside, before the offset moves",
        "2 cannot be read and would be given up:",
        "  offset 3, appended behind 2 of 2023-11-14 22:13:20.163+00:00, before 4 of 2023-11-14 22:13:20.165+00:00",
        f"{others}mail1/17: 6 to 8; mail3/1: below 2",
        "    `lastlogin audit` names those that are missing",
        "  offset 8, appended behind 7 of 2023-11-14 22:13:20.168+00:00, before 10 of 2023-11-14 22:13:20.171+00:00",
        f"{others}mail1/17: above 11; mail2/3: above 9; mail3/1: above 2",
        "    `lastlogin audit` names those that are missing",
        "behind them offset 9 cannot be read either: --to 10 passes them, too",
    ] == list(survey.text(UTC))


def test_nothing_around_can_be_read() -> None:
    """That is said, too."""
    assert "  offsets 1 to 3 (3), no record around them can be read" in list(_survey(1, 4, {}, 6).text(UTC))


def test_nothing_is_lost() -> None:
    """When all can be read, the question is why to skip it."""
    assert ["3 can be read, and none is lost; is there a need to skip them?"] == list(
        _survey(1, 4, dict.fromkeys(range(6), b""), 6).text(UTC)
    )


@pytest.mark.parametrize(
    "origin",
    [None, b"", b"mail1", b"/4", b"mail1/17/", b"mail1/17/-1", b"mail1/17/x", b"\xff/\xb2", b"m/" + b"9" * 5_000],
)
def test_origin_that_is_none(origin: bytes | None) -> None:
    """Headers come from outside: what is no origin tells nothing."""
    survey = Survey(Stretch(2, 1, 2))
    survey.read([_record(0, origin)])
    survey.unreadable(1)
    survey.read([_record(2, origin)])

    assert not any("sequence numbers" in line for line in survey.text(UTC))


def test_only_so_many_producers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten of them for people; and no more than a bound are kept."""
    monkeypatch.setattr("lastlogin_consumer.skip.gaps._MAX_PRODUCERS", 12)
    survey = Survey(Stretch(2, 20, 21))
    survey.read(_record(number, b"mail%d/1/5" % number) for number in range(20))
    survey.unreadable(20)

    [line, more] = [line for line in survey.text(UTC) if "mail" in line or "producers" in line]
    assert 10 == line.count("above 5")
    assert "and those of 2 more producers" in more
