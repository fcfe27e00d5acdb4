"""Headers of dead letters."""

from typing import Any

import pytest

from lastlogin_schemas.dead_letter import Story, letter_headers, split_letter


STORY = Story("future", "events", 3, 4711, "the login is 900 s ahead of Kafka's append time")
TOLD: list[tuple[str, Any]] = [
    ("reason", b"future"),
    ("topic", b"events"),
    ("partition", b"3"),
    ("offset", b"4711"),
    ("error", b"the login is 900 s ahead of Kafka's append time"),
]


def test_there_and_back() -> None:
    """The record's own headers come first, in their order, also those with our names; both sides are had back."""
    own: list[tuple[str, Any]] = [("origin", b"mail1/1/2"), ("reason", b"was here before"), ("empty", None)]

    assert letter_headers(own, STORY) == own + TOLD
    assert split_letter(letter_headers(own, STORY)) == (own, STORY)
    assert split_letter(TOLD) == ([], STORY)


def test_sent_round_again() -> None:
    """A dead letter of a dead letter is taken apart once at a time: the newer story is the last one."""
    newer = STORY._replace(reason="refused", offset=5_000)

    assert split_letter(letter_headers(TOLD, newer)) == (TOLD, newer)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        TOLD[:4],
        [*TOLD, ("later", b"x")],
        [*TOLD[1:], TOLD[0]],
        [*TOLD[:4], ("error", None)],
        [*TOLD[:4], ("error", b"\xff")],
        [*TOLD[:2], ("partition", b"x"), *TOLD[3:]],
    ],
)
def test_no_dead_letter(headers: list[tuple[str, Any]]) -> None:
    """Whatever our consumer does not write is no dead letter."""
    assert split_letter(headers) is None
