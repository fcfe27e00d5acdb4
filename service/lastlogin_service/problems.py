"""What is wrong with a configuration, in words for people who run mail servers."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from lastlogin_service.rendering import SECRET, toml_value
from lastlogin_service.shape import Location, allowed, bare, is_secret, keys, section_of, type_at, variable


# pydantic's error type for what `Section.problems` finds.
CROSS_CHECK = "cross_check"

# Longer values are cut: the beginning is enough to find them.
_MAX_VALUE_CHARACTERS = 80

_HIDDEN: tuple[tuple[type, str], ...] = ((str, '"..."'), (list, "[...]"), (dict, "{...}"))

# Kubernetes gives each container the addresses of the services around it, named after those services: for one
# that is called lastlogin-consumer this is LASTLOGIN_CONSUMER_PORT=tcp://... and the like.
_SERVICE_LINK = re.compile(
    r"(\w+_)?(SERVICE_HOST=[0-9a-fA-F.:]+|SERVICE_PORT(_\w+)?=\d+"
    r"|PORT=(tcp|udp|sctp)://.*|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=.*)"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: which key, the value as it is to be shown, and what is allowed."""

    location: Location
    value: str
    allowed: str


class Origins:
    """Knows where each value came from, to say it with the problem."""

    def __init__(self, prefix: str, file: Path | None, variables: frozenset[str]) -> None:
        self._prefix = prefix
        self._file = file
        self._variables = variables

    def line(self, problem: Problem) -> str:
        """One line for people: `<file or variable>: <section.key>: <value> - <what is allowed>`."""
        return f"{self._origin(problem.location)}: {_key(problem.location)}: {problem.value} - {problem.allowed}"

    def _origin(self, location: Location) -> str:
        for length in range(len(location), 0, -1):
            if (name := variable(self._prefix, location[:length])) in self._variables:
                return name
        return str(self._file) if self._file is not None else variable(self._prefix, location)


def shown(cls: type[BaseModel], location: Location, value: Any) -> str:
    """Value as people may see it."""
    if is_secret(cls, location):
        return toml_value(SECRET)
    if section_of(type_at(cls, location)) is not None:
        # Misplaced tables and broken JSON may have secrets inside.
        return next((hidden for kind, hidden in _HIDDEN if isinstance(value, kind)), toml_value(value))
    text = toml_value(value)
    return text if len(text) <= _MAX_VALUE_CHARACTERS else text[: _MAX_VALUE_CHARACTERS - 3] + "..."


def words(cls: type[BaseModel], prefix: str, error: ValidationError) -> Iterator[Problem]:
    """Yield what pydantic found, in our words."""
    for found in error.errors():
        location = found["loc"]
        match found["type"]:
            case "missing":
                how = f"must be given, in the file or as {variable(prefix, location)}"
                yield Problem(location, "missing", how)
            case "extra_forbidden":
                # Its value is not shown: it may be a secret under a misspelt name.
                yield Problem(location, "unknown key", _suggestion(cls, location))
            case "cross_check":
                for key, how in found["ctx"]["found"]:
                    place = (*location, *key.split("."))
                    yield Problem(place, _value_at(cls, place, found["input"], len(location)), how)
            case "value_error" | "assertion_error":
                yield Problem(location, shown(cls, location, found["input"]), str(found["ctx"]["error"]))
            case _:
                noun = allowed(type_at(cls, location))
                how = f"must be {noun}" if noun else found["msg"][:1].lower() + found["msg"][1:]
                yield Problem(location, shown(cls, location, found["input"]), how)


def unknown_variables(
    cls: type[BaseModel], prefix: str, environ: Mapping[str, str], foreign: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield (variable, line for people) for each variable that has our prefix and no meaning."""
    for name, value in environ.items():
        location = tuple(name[len(prefix) :].lower().split("__"))
        if type_at(cls, location) is not None or name.upper().startswith(tuple(foreign)):
            continue
        if _SERVICE_LINK.fullmatch(f"{name[len(prefix) :]}={value}"):
            continue
        # Without the prefix, which would make all of them alike.
        close = get_close_matches("__".join(location), ["__".join(key) for key in keys(cls)], n=1)
        better = f"did you mean {prefix}{close[0].upper()}?" if close else "there is no such setting"
        yield name, f"{name}: unknown variable - {better}"


def _key(location: Location) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".")


def _suggestion(cls: type[BaseModel], location: Location) -> str:
    section = bare(type_at(cls, location[:-1]))
    names = list(section.model_fields)
    if close := get_close_matches(str(location[-1]).lower(), names, n=1):
        return f"did you mean {close[0]}?"
    # A key that stands in the wrong section is found in the right one.
    for key in keys(cls):
        if key[-1] == str(location[-1]).lower():
            return f"did you mean {_key(key)}?"
    return "known here: " + ", ".join(names)


def _value_at(cls: type[BaseModel], location: Location, value: Any, start: int) -> str:
    for step in location[start:]:
        value = value.get(step) if isinstance(value, Mapping) else getattr(value, str(step), None)
    if value is None:
        section = bare(type_at(cls, location[:-1]))
        field = section.model_fields[str(location[-1])]
        value = None if field.is_required() else field.get_default(call_default_factory=True)
    return "not given" if value is None else shown(cls, location, value)
