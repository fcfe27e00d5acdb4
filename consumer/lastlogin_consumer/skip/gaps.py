"""Offsets that cannot be read, and what the records around them tell of them. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import NamedTuple

from lastlogin_consumer.decode import Record
from lastlogin_consumer.replay.stretches import Stretch
from lastlogin_schemas.headers import ORIGIN
from lastlogin_service.counting import counted
from lastlogin_service.moments import at_ms


# Producers and epochs. Headers come from outside: of more of them nothing is told.
_MAX_PRODUCERS = 1_000
# A sequence is a long.
_MAX_DIGITS = 19
# For a person to read.
_SHOWN = 10


class Neighbour(NamedTuple):
    """The record before or after a gap."""

    offset: int
    appended_ms: int


@dataclass(slots=True)
class Gap:
    """Offsets from `first` to before `end` of which none can be read.

    By producer and epoch (`mail1/17`): the last sequence number before it, and the first one after it.
    """

    first: int
    end: int
    before: Neighbour | None
    numbers_before: dict[str, int]
    after: Neighbour | None = None
    numbers_after: dict[str, int] = field(default_factory=dict)


class Survey:
    """What is found of a stretch, and of the records before and behind it, in the order of their offsets."""

    def __init__(self, stretch: Stretch) -> None:
        self.stretch = stretch
        self.readable = 0
        self._gaps: list[Gap] = []
        self._last: Neighbour | None = None
        self._numbers: dict[str, int] = {}

    def read(self, records: Iterable[Record]) -> None:
        """Take note of records that can be read."""
        for record in records:
            self.readable += self.stretch.first <= record.offset < self.stretch.end
            self._last = Neighbour(record.offset, record.timestamp)
            gap = self._gaps[-1] if self._gaps else None
            if gap is not None and gap.after is None:
                gap.after = self._last
            if (number := _number(record)) is not None:
                producer, sequence = number
                if producer in self._numbers or len(self._numbers) < _MAX_PRODUCERS:
                    self._numbers[producer] = sequence
                    if gap is not None:
                        gap.numbers_after.setdefault(producer, sequence)

    def unreadable(self, offset: int) -> None:
        """Take note of an offset whose record cannot be read."""
        if self._gaps and self._gaps[-1].end == offset:
            self._gaps[-1].end = offset + 1
        else:
            self._gaps.append(Gap(offset, offset + 1, self._last, dict(self._numbers)))

    @property
    def gaps(self) -> Sequence[Gap]:
        """Those of the stretch; the first one may begin before it, and the last one reach beyond it."""
        return [gap for gap in self._gaps if gap.end > self.stretch.first and gap.first < self.stretch.end]

    @property
    def given_up(self) -> list[Stretch]:
        """What of the stretch cannot be read."""
        first, end = self.stretch.first, self.stretch.end
        return [replace(self.stretch, first=max(gap.first, first), end=min(gap.end, end)) for gap in self.gaps]

    @property
    def rest(self) -> list[Stretch]:
        """What of the stretch can be read."""
        ends = [self.stretch.first, *(each.end for each in self.given_up)]
        begins = [*(each.first for each in self.given_up), self.stretch.end]
        return [
            replace(self.stretch, first=first, end=end) for first, end in zip(ends, begins, strict=True) if first < end
        ]

    def text(self, zone: tzinfo | None = None) -> Iterator[str]:
        """Say what would be given up, in lines."""
        count = sum(each.offsets for each in self.given_up)
        if not count:
            yield f"{self.readable:,} can be read, and none is lost; is there a need to skip them?"
            return
        yield f"{self.readable:,} can be read; with --yes they are written, or set aside, before the offset moves"
        yield f"{count:,} cannot be read and would be given up:"
        for gap, lost in zip(self.gaps, self.given_up, strict=True):
            yield f"  offset{_words(lost)}, {_around(gap, zone)}"
            yield from (f"    {line}" for line in _numbers(gap))
        if (beyond := self.gaps[-1]).end > self.stretch.end:
            further = replace(self.stretch, first=self.stretch.end, end=beyond.end)
            yield f"behind them offset{_words(further)} cannot be read either: --to {beyond.end} passes them, too"


def _number(record: Record) -> tuple[str, int] | None:
    origin = next((value for name, value in record.headers if name == ORIGIN), None)
    producer, _, sequence = (origin or b"").decode(errors="replace").rpartition("/")
    # Python reads no more than some thousand digits.
    told = sequence.isascii() and sequence.isdigit() and len(sequence) <= _MAX_DIGITS
    return (producer, int(sequence)) if producer and told else None


def _words(stretch: Stretch) -> str:
    last = stretch.end - 1
    return f" {last}" if stretch.first == last else f"s {stretch.first} to {last} ({stretch.offsets:,})"


def _around(gap: Gap, zone: tzinfo | None) -> str:
    sides = []
    if gap.before is not None:
        sides.append(f"behind {gap.before.offset} of {at_ms(gap.before.appended_ms, zone)}")
    if gap.after is not None:
        sides.append(f"before {gap.after.offset} of {at_ms(gap.after.appended_ms, zone)}")
    return "appended " + ", ".join(sides) if sides else "no record around them can be read"


def _numbers(gap: Gap) -> Iterator[str]:
    """Between which numbers of each producer they are; numbers are spread over partitions."""
    told = []
    for producer in sorted(gap.numbers_before.keys() | gap.numbers_after.keys()):
        low, high = gap.numbers_before.get(producer), gap.numbers_after.get(producer)
        if low is None or high is None:
            told.append(f"{producer}: {f'below {high}' if low is None else f'above {low}'}")
        elif high - low > 1:
            told.append(f"{producer}: {low + 1} to {high - 1}")
    if told:
        yield "sequence numbers, of which other partitions may have some: " + "; ".join(told[:_SHOWN])
        yield from [f"and those of {counted(len(told) - _SHOWN, 'more producer')}"] * (len(told) > _SHOWN)
        yield "`lastlogin audit` names those that are missing"
