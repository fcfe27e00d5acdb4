"""What a settings class looks like: its keys, their types, and what they allow in words."""

import types
from collections.abc import Iterator
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo


Location = tuple[str | int, ...]

_PLAIN = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    SecretStr: "text",
    Path: "a path",
    dict: "a table",
    list: "a list",
    tuple: "a list",
    IPv4Address: "an IPv4 address",
    IPv6Address: "an IPv6 address",
    IPv4Network: "an IPv4 network such as 192.0.2.0/24",
    IPv6Network: "an IPv6 network such as 2001:db8::/32",
}


def field_type(field: FieldInfo) -> Any:
    """Type of a field, its constraints included."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def bare(annotation: Any) -> Any:
    """Return the type without constraints and without `| None`."""
    if get_origin(annotation) is Annotated:
        return bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return bare(members[0])
    return annotation


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a key of this type holds, one or a list or table of them, if it does."""
    annotation = bare(annotation)
    if get_origin(annotation) in (list, tuple, dict):
        annotation = bare(next((a for a in reversed(get_args(annotation)) if a is not ...), None))
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def type_at(cls: type[BaseModel], location: Location) -> Any:
    """Type of the key at `location` below `cls`, None when there is no such key."""
    annotation: Any = cls
    for step in location:
        outer = bare(annotation)
        if isinstance(outer, type) and issubclass(outer, BaseModel):
            field = outer.model_fields.get(str(step))
            if field is None:
                return None
            annotation = field_type(field)
        elif get_origin(outer) in (list, tuple, dict):
            annotation = next(a for a in reversed(get_args(outer)) if a is not ...)
        elif outer is not dict:
            return None
    return annotation


def is_secret(cls: type[BaseModel], location: Location) -> bool:
    """Tell whether the value at `location` must not be shown: it, or what it stands in, is a secret."""
    return any(bare(type_at(cls, location[: i + 1])) is SecretStr for i in range(len(location)))


# Stands for the name or number of a section of which there may be several.
ANY = "<name>"


def keys(cls: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the location of each key that is not a section; of sections that are many, one with `ANY`."""
    for name, field in cls.model_fields.items():
        section = section_of(field.annotation)
        if section is None:
            yield (*above, name)
        else:
            many = bare(field.annotation) is not section
            yield from keys(section, (*above, name, ANY) if many else (*above, name))


def variable(prefix: str, location: Location) -> str:
    """Environment variable of the key at `location`."""
    return prefix + "__".join(str(step) for step in location).upper()


def allowed(annotation: Any) -> str | None:
    """Return what a value of this type must be, in words; None when there is no simple way to say it."""
    noun = _noun(bare(annotation))
    return noun and f"{noun}{_limits(_constraints(annotation))}"


def _constraints(annotation: Any) -> tuple[Any, ...]:
    """Constraints of a type, also where `| None` stands around them."""
    if get_origin(annotation) is Annotated:
        inner, *own = get_args(annotation)
        # Inside `| None` pydantic leaves `Field(...)` as it was written.
        flat = [part for each in own for part in (each.metadata if isinstance(each, FieldInfo) else (each,))]
        return (*flat, *_constraints(inner))
    if bare(annotation) is not annotation:
        return _constraints(next(member for member in get_args(annotation) if member is not type(None)))
    return ()


def _noun(annotation: Any) -> str | None:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        nouns = [_noun(member) for member in get_args(annotation)]
        return " or ".join(filter(None, nouns)) if all(nouns) else None
    choices = get_args(annotation) if origin is Literal else ()
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        choices = tuple(member.value for member in annotation)
    if choices:
        return "one of " + ", ".join(map(str, choices))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a table"
    return _PLAIN.get(origin or annotation)


def _limits(constraints: tuple[Any, ...]) -> str:
    flat: list[Any] = []
    for constraint in constraints:
        flat += list(constraint) if isinstance(constraint, annotated_types.GroupedMetadata) else [constraint]
    low = high = ""
    for constraint in flat:
        match constraint:
            case annotated_types.Ge(ge=limit):
                low = f"at least {limit}"
            case annotated_types.Gt(gt=limit):
                low = f"more than {limit}"
            case annotated_types.Le(le=limit):
                high = f"at most {limit}"
            case annotated_types.Lt(lt=limit):
                high = f"less than {limit}"
            case annotated_types.MinLen(min_length=limit):
                low = "not empty" if limit == 1 else f"of length {limit} or more"
            case annotated_types.MaxLen(max_length=limit):
                high = f"of length {limit} or less"
    return ", " + " and ".join(filter(None, (low, high))) if low or high else ""
