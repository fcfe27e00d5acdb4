"""Records by their place in a topic. Pure."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a record stands in its topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


def place_of(text: str) -> Place:
    """Read PARTITION:OFFSET. Raises ValueError, with a sentence."""
    if (found := re.fullmatch(r"(\d{1,9}):(\d{1,18})", text, re.ASCII)) is None:
        raise ValueError("must be PARTITION:OFFSET as in the list, such as 0:17")
    return Place(int(found[1]), int(found[2]))
