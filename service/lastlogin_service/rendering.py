"""Settings as TOML that can be read again."""

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel, SecretStr


# Stands for a secret wherever settings are shown.
SECRET = "********"  # noqa: S105 - the mask, not a secret


def render(settings: BaseModel) -> str:
    """Effective settings in the order of their sections, secrets masked; keys without a value as comments.

    A secret that was read from a file shows as that file.
    """
    return "\n".join(_table(settings, ())).strip() + "\n"


def toml_value(value: Any) -> str:
    """Value in TOML. What TOML has no form for becomes text."""
    if isinstance(value, SecretStr):
        value = SECRET if value.get_secret_value() else ""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, Mapping | BaseModel):
        items = value.items() if isinstance(value, Mapping) else value
        return "{" + ", ".join(f"{_key(name)} = {toml_value(item)}" for name, item in items if item is not None) + "}"
    # JSON's escapes are TOML's; DEL is the one character that only TOML wants escaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if name and all(c.isascii() and (c.isalnum() or c in "-_") for c in name) else toml_value(name)


def _table(section: BaseModel | Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    items = dict(section)
    tables = []
    for name, value in items.items():
        if _is_table(value) or (isinstance(value, list | tuple) and value and all(map(_is_table, value))):
            tables.append((name, value))
        elif value is None:
            yield f"# {_key(name)} is not set"
        elif not (isinstance(value, SecretStr) and items.get(f"{name}_file")):
            yield f"{_key(name)} = {toml_value(value)}"
    for name, value in tables:
        below = (*path, _key(name))
        for table in value if isinstance(value, list | tuple) else [value]:
            yield ""
            yield f"[[{'.'.join(below)}]]" if isinstance(value, list | tuple) else f"[{'.'.join(below)}]"
            yield from _table(table, below)


def _is_table(value: Any) -> bool:
    return isinstance(value, BaseModel | Mapping)
