"""What the doctor says: one line for each thing that it looked at."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import click


class Level(StrEnum):
    """How bad it is; the words are what people and scripts read."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Line:
    """`check` names what was looked at and is stable, `found` what is there, `do` what to do about it."""

    check: str
    level: Level
    found: str
    do: str = ""


_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}
_ORDER = list(Level)


def ok(check: str, found: str) -> Line:
    """Nothing to do."""
    return Line(check, Level.OK, found)


def warning(check: str, found: str, do: str) -> Line:
    """Logins are recorded, but not as well as they could be; or this could not be looked at."""
    return Line(check, Level.WARNING, found, do)


def error(check: str, found: str, do: str) -> Line:
    """Logins are lost, held up or wrong."""
    return Line(check, Level.ERROR, found, do)


def worst(lines: Iterable[Line]) -> Level:
    """The level of the worst line."""
    return max((line.level for line in lines), key=_ORDER.index, default=Level.OK)


def text(lines: Iterable[Line]) -> str:
    """For people, coloured; whoever prints it takes the colours out where there is no terminal."""
    return "".join(
        f"{click.style(f'{line.level:<7}', fg=_COLOURS[line.level])}  {line.check}: {line.found}"
        f"{line.do and f'; {line.do}'}\n"
        for line in lines
    )


def as_json(lines: Sequence[Line], version: str) -> str:
    """For machines."""
    return json.dumps({"version": version, "level": worst(lines), "checks": [asdict(line) for line in lines]}, indent=2)
