"""What the processes of a producer say to each other."""

from hypothesis import given
from hypothesis import strategies as st

from lastlogin_producer.outbox import frames
from lastlogin_producer.outcome import Outcome
from lastlogin_schemas.event import LoginEvent, RawWrite


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LONG = st.integers(-(2**63), 2**63 - 1)
LOGINS = st.builds(
    LoginEvent, TEXT, TEXT, LONG, st.none() | TEXT, st.dictionaries(TEXT, TEXT), TEXT, TEXT, TEXT, TEXT, LONG
)
WRITES = st.builds(
    RawWrite, st.binary(), TEXT, TEXT, TEXT, st.lists(st.tuples(st.binary(), st.binary())).map(tuple), TEXT, LONG
)
BATCHES = st.lists(LOGINS | WRITES, min_size=1, max_size=20)
NUMBERS = st.integers(0, 2**32 - 1)


@given(NUMBERS, BATCHES)
def test_messages(number: int, batch: list[LoginEvent | RawWrite]) -> None:
    """A batch is read as it was written, kinds and fields."""
    [(what, rest)] = frames.Frames().feed(frames.messages(number, batch))
    read_number, read = frames.read_messages(rest)

    assert (frames.MESSAGES, number, batch) == (what, read_number, read)
    assert [type(message) for message in batch] == [type(message) for message in read]


@given(NUMBERS, st.lists(st.sampled_from(Outcome), min_size=1))
def test_outcomes(number: int, outcomes: list[Outcome]) -> None:
    """Outcomes are read as they were written, in turn."""
    [(what, rest)] = frames.Frames().feed(frames.outcomes(number, outcomes))

    assert (frames.OUTCOMES, (number, outcomes)) == (what, frames.read_outcomes(rest))


def test_saying() -> None:
    """Anything else that can be said arrives as it was."""
    [(what, rest)] = frames.Frames().feed(frames.saying(1, "state", {"a": 2.0}))

    assert (frames.SAYING, (1, "state", {"a": 2.0})) == (what, frames.read_saying(rest))


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 12), max_size=60))
def test_pieces(parts: list[bytes], sizes: list[int]) -> None:
    """Frames are the same however the stream is cut, and none is told before it is whole."""
    framed = [frames.messages(number, [RawWrite(part, "bad_key")]) for number, part in enumerate(parts)]
    stream, whole, found, heard = b"".join(framed), frames.Frames(), [], 0
    for size in [*sizes, len(stream)]:
        piece, stream = stream[:size], stream[size:]
        heard += len(piece)
        found += [frames.read_messages(rest) for _, rest in whole.feed(piece)]

        assert [n for n in range(len(framed)) if len(b"".join(framed[: n + 1])) <= heard] == [n for n, _ in found]
    assert [(number, [RawWrite(part, "bad_key")]) for number, part in enumerate(parts)] == found
