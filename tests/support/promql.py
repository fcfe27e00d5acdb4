"""Enough of PromQL to say which series an expression asks for, and by which of their labels."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field


_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|'[^']*') | (?P<range>\[[^\]]*\]) | (?P<name>[a-zA-Z_:][\w:]*)
      | (?P<number>\d[\d.e]*\w*) | (?P<other>=~|!~|!=|>=|<=|==|[-+*/%^(){},=<>]) | \s+ | (?P<bad>.)""",
    re.VERBOSE,
)
_WORDS = {"or", "and", "unless", "bool", "offset"}
_GROUPING = {"by", "on", "ignoring", "without", "group_left", "group_right"}


@dataclass(frozen=True)
class Use:
    """A metric in an expression, and labels that it must have."""

    metric: str
    labels: frozenset[str]


@dataclass
class _Reader:
    tokens: list[tuple[str, str]]
    at: int = 0
    # Labels of `by` by the parentheses around.
    grouped: list[frozenset[str]] = field(default_factory=list)

    def take(self) -> tuple[str, str]:
        self.at += 1
        return self.tokens[self.at - 1]

    def next(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def names(self, end: str) -> frozenset[str]:
        """Names up to `end`, of those that stand at the start of the part or after a comma."""
        found, previous = set(), self.take()[1]
        while (token := self.take())[1] != end:
            if previous in "({,":
                found.add(token[1])
            previous = token[1]
        return frozenset(found)


def uses(expression: str) -> Iterator[Use]:
    """Yield each metric. Aggregations must say `by` before what they aggregate: `sum by (a) (b)`."""
    found = list(_TOKEN.finditer(expression))
    assert not [each for each in found if each["bad"]], expression
    reader = _Reader([(each.lastgroup or "", each[0]) for each in found if each.lastgroup])
    pending: frozenset[str] = frozenset()
    while reader.at < len(reader.tokens):
        kind, text = reader.take()
        if text in _GROUPING:
            labels = reader.names(")")
            pending = labels if text == "by" else frozenset()
        elif text == "(":
            reader.grouped.append(pending)
            pending = frozenset()
        elif text == ")":
            reader.grouped.pop()
        elif kind == "name" and text not in _WORDS and reader.next() not in ("(", *_GROUPING):
            own = reader.names("}") if reader.next() == "{" else frozenset()
            yield Use(text, own.union(*reader.grouped))
