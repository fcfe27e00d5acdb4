"""Headers of a dead letter: those of the record itself, and after them why it was set aside and where it stands.

Kafka allows a header name more than once, and its `lastHeader` is the rule: a record that already had a header of
such a name (a dead letter that somebody sent round again) keeps it, ours comes last.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Story(NamedTuple):
    """Why a record is a dead letter, and where it stands; the names are those of the headers, in their order."""

    reason: str
    topic: str
    partition: int
    offset: int
    error: str


def letter_headers(own: Sequence[tuple[str, Any]], story: Story) -> list[tuple[str, Any]]:
    """Headers of the dead letter of a record that has the headers `own`."""
    return [*own, *((name, str(value).encode()) for name, value in zip(Story._fields, story, strict=True))]


def split_letter(headers: Sequence[tuple[str, Any]]) -> tuple[list[tuple[str, Any]], Story] | None:
    """Take the headers of a dead letter apart, into the record's own and its story; None when it is no dead letter."""
    told = headers[-len(Story._fields) :]
    if tuple(name for name, _ in told) != Story._fields:
        return None
    try:
        reason, topic, partition, offset, error = (value.decode() for _, value in told)
        return list(headers[: -len(told)]), Story(reason, topic, int(partition), int(offset), error)
    except (AttributeError, ValueError):  # a header without a value; no text, or no number
        return None
