"""The example files `deploy/*.toml`, read with their comments: the one place where settings are explained.

A setting stands on a line of its own, commented (`#key = value`) or not, its explanation in the `# ` lines right
above it; so do sections (`[section]`, `[section.name]`, `#[[section]]` for one of several). A block of comments with an
empty line after it belongs to nothing: the file's beginning.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


_SECTION = re.compile(r"\[(\w+)(?:\.(\w+))?\]|#?\[\[(\w+)\]\]")
_SETTING = re.compile(r"(#?)(\w+) = (.+)")

# In a location: the one of several sections that is shown.
FIRST = "0"


@dataclass(frozen=True, slots=True)
class Shown:
    """One section (`value` is None) or one setting of a file, in the order of the file."""

    location: tuple[str, ...]
    explanation: str
    value: Any = None
    commented: bool = False


def read(text: str) -> Iterator[Shown]:
    """Yield what a file shows. Raises ValueError with the line that is none of the above."""
    section: tuple[str, ...] = ()
    explanation: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if found := _SECTION.fullmatch(line):
            section = tuple(filter(None, (found[1], found[2]))) or (found[3], FIRST)
            yield Shown(section, " ".join(explanation))
        elif found := _SETTING.fullmatch(line):
            value = tomllib.loads(f"value = {found[3]}")["value"]
            yield Shown((*section, found[2]), " ".join(explanation), value, bool(found[1]))
        elif line.startswith("# "):
            explanation.append(line[2:].strip())
            continue
        elif line not in ("", "#"):
            raise ValueError(f"line {number} is no comment (`# text`), setting (`#key = value`) or section: {line}")
        explanation = []


def uncommented(text: str, *, without: frozenset[str] = frozenset()) -> str:
    """Return a file in which every setting that it shows is in force, except those whose names are in `without`."""
    lines = text.splitlines()
    settings = ((line, _SETTING.fullmatch(line) or _SECTION.fullmatch(line)) for line in lines)
    return "\n".join(
        line if found is None else "" if found[2] in without else line.removeprefix("#") for line, found in settings
    )
