"""Which offsets of which partitions, and what of them Kafka still has. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple


@dataclass(frozen=True, slots=True, order=True)
class Stretch:
    """Offsets of a partition from `first` to before `end`."""

    partition: int
    first: int
    end: int

    @property
    def offsets(self) -> int:
        """How many."""
        return self.end - self.first

    def __str__(self) -> str:
        """As --offsets takes it."""
        return f"{self.partition}:{self.first}-{self.end - 1}"


class Edges(NamedTuple):
    """The first offset that a partition has, and the one that its next record gets."""

    first: int
    end: int


def stretch_of(text: str) -> Stretch:
    """Read PARTITION:FIRST-LAST. Raises ValueError, with a sentence."""
    if (found := re.fullmatch(r"(\d{1,9}):(\d{1,18})-(\d{1,18})", text, re.ASCII)) is None:
        raise ValueError("must be PARTITION:FIRST-LAST, such as 0:1700-1799")
    partition, first, last = map(int, found.groups())
    if first > last:
        raise ValueError(f"ends before it begins: {last} is below {first}")
    return Stretch(partition, first, last + 1)


def misfits(asked: Sequence[Stretch], edges: Mapping[int, Edges]) -> Iterator[str]:
    """What cannot have been meant, a sentence each."""
    seen = set()
    for each in asked:
        if each.partition in seen:
            yield f"{each}: partition {each.partition} is named twice"
        seen.add(each.partition)
        if each.partition not in edges:
            yield f"{each}: there is no such partition; the topic has 0 to {max(edges)}"
        elif each.end > (end := edges[each.partition].end):
            yield f"{each}: goes beyond the end; the last offset of partition {each.partition} is {end - 1}"


def there(asked: Stretch, edges: Edges) -> Stretch:
    """The part of it that the partition still has, which may be none."""
    return replace(asked, first=min(max(asked.first, edges.first), asked.end))
