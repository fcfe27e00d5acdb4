"""Which numbers of a producer's sequence an audit misses."""

from collections.abc import Iterable
from random import Random

import pytest

from lastlogin_ops.audit import sequences as module
from lastlogin_ops.audit.sequences import Hole, Sequences


NOW_MS = 1_700_000_000_000
MINUTE_MS = 60_000


def seen(numbers: Iterable[int], *, age_ms: int = 10 * MINUTE_MS, stream: str = "mail1/17") -> Sequences:
    """What has seen these numbers, whose records are so old."""
    return more(Sequences(NOW_MS - MINUTE_MS, MINUTE_MS), numbers, age_ms=age_ms, stream=stream)


def more(
    sequences: Sequences, numbers: Iterable[int], *, age_ms: int = 10 * MINUTE_MS, stream: str = "mail1/17"
) -> Sequences:
    """The same, after these as well."""
    for number in numbers:
        sequences.add(f"{stream}/{number}".encode(), NOW_MS - age_ms)
    return sequences


def holes(sequences: Sequences, cut_ms: int | None = None) -> list[tuple[int, int]]:
    """First and last of each hole."""
    return [(hole.first, hole.last) for hole in sequences.holes(sorted(sequences.take_pieces()), cut_ms)]


def test_no_hole() -> None:
    """A sequence without a gap has no hole, in whatever order and however often its numbers come."""
    numbers = list(range(1, 20_001))
    Random(7).shuffle(numbers)  # noqa: S311 - repeatable

    assert [] == holes(seen([*numbers, *numbers[:100]]))
    assert [] == holes(seen([5]))


def test_holes() -> None:
    """Each run of missing numbers is a hole: one number, several, across pieces, and whole pieces."""
    missing = {1_000, 4_095, 4_096, 4_097, *range(10_000, 30_001)}

    found = seen(number for number in range(1, 40_001) if number not in missing)

    assert [(1_000, 1_000), (4_095, 4_097), (10_000, 30_000)] == holes(found)


def test_every_set_of_numbers() -> None:
    """Whatever is missing between the lowest and the highest number is told, and nothing else."""
    rng = Random(11)  # noqa: S311 - repeatable
    for _ in range(200):
        start, size = rng.randrange(1, 2**40), rng.randrange(1, 9_000)
        numbers = {start + rng.randrange(size) for _ in range(rng.randrange(1, size + 1))}
        told = {number for first, last in holes(seen(numbers)) for number in range(first, last + 1)}
        assert told == set(range(min(numbers), max(numbers))) - numbers


def test_streams() -> None:
    """Each producer and epoch has a sequence of its own; a name may have slashes."""
    sequences = more(seen([1, 3], stream="a/b/1"), [7, 9], stream="a/b/2")

    assert sequences.streams == 2
    told = list(sequences.holes(sorted(sequences.take_pieces()), None))
    assert told == [Hole("a/b", 1, 2, 2), Hole("a/b", 2, 8, 8)]
    assert [1, 1] == [hole.numbers for hole in told]


def test_on_its_way() -> None:
    """A number is missed only below one that is old enough."""
    assert [] == holes(seen([1, 2, 4], age_ms=59_000))
    assert [(2, 2)] == holes(more(seen([1, 3]), [5], age_ms=0))


def test_what_retention_took() -> None:
    """Numbers up to the first that came after the deletion may be gone by age, also where lower ones still are."""
    old = seen([1, 3, 5], age_ms=100 * MINUTE_MS)
    sequences = more(more(old, [9, 10, 12], age_ms=50 * MINUTE_MS), [14])

    assert [(13, 13)] == holes(sequences, NOW_MS - 60 * MINUTE_MS)


def test_all_older_than_what_was_deleted() -> None:
    """A producer that has been silent since has nothing to be judged by."""
    assert [] == holes(seen([1, 3, 5], age_ms=100 * MINUTE_MS), NOW_MS - 60 * MINUTE_MS)


def test_records_without_a_number() -> None:
    """No header, and one that is none of ours, are counted and judge nothing."""
    sequences = Sequences(NOW_MS, MINUTE_MS)
    for origin in (
        None,
        b"",
        b"mail1",
        b"mail1/17/x",
        b"mail1/x/1",
        b"mail1/17/0",
        b"mail1/17/-1",
        b"m/1/9" + b"9" * 18,
        b"m/" + b"9" * 5_000 + b"/1",
    ):
        sequences.add(origin, 0)

    assert (sequences.unnumbered, sequences.streams) == (9, 0)


def test_a_name_that_is_no_utf8() -> None:
    """Its bytes are escaped."""
    sequences = Sequences(NOW_MS, MINUTE_MS)
    for number in (b"1", b"3"):
        sequences.add(b"\xff/1/" + number, 0)

    assert [Hole("\\xff", 1, 2, 2)] == list(sequences.holes(sorted(sequences.take_pieces()), None))


def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are given away when there are many, and are put together again; further producers are not judged."""
    monkeypatch.setattr(module, "MAX_PIECES", 2)
    monkeypatch.setattr(module, "MAX_STREAMS", 1)
    sequences = seen(range(1, 8_000, 2))
    assert sequences.full
    pieces = list(sequences.take_pieces())
    assert not sequences.full

    more(sequences, (number for number in range(2, 8_000, 2) if number != 4_096))
    more(sequences, [1], stream="mail2/1")
    pieces += sequences.take_pieces()

    assert [(4_096, 4_096)] == [(hole.first, hole.last) for hole in sequences.holes(sorted(pieces), None)]
    assert (sequences.streams, sequences.unjudged) == (1, 1)
