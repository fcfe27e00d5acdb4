"""The maps of a file: which key of Dovecot's goes into which columns. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lastlogin_consumer.dovecot.syntax import Block, MapError, Note, Setting


_VARIABLE = re.compile(r"\$(\w+)|\$\{(?:(\w+):)?(\w+)\}", re.ASCII)
# A pair of quotes makes a name of CQL one with capitals; Dovecot writes names as they are.
_NAME = re.compile(r"(\"?)(\w{1,48})\1", re.ASCII)
# Types of Dovecot's that a timestamp, an address or a text can be written with.
_TYPES = ("string", "int", "uint")
_MAP = ("pattern", "table", "username_field", "value_field", "value_type", "value_hexblob", "expire_field")


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and the line that names it."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class DictMap:
    """One map. `fields` are columns by variable of the pattern."""

    pattern: str
    line: int
    keyspace: str | None
    table: Column
    value: Column
    fields: dict[str, Column]
    # The line that says that times are text.
    text_time: int | None
    notes: list[Note]


def old_maps(root: Block) -> Iterator[DictMap]:
    """Maps of a file of 2.2 and 2.3. Raises `MapError`, as Dovecot refuses the file."""
    for block in root.blocks:
        if block.kind != "map":
            raise MapError(block.line, f"unknown block {block.kind}; there are only map")
        known = [each for each in block.settings if each.name in _MAP]
        if len(known) < len(block.settings):
            wrong = next(each for each in block.settings if each not in known)
            raise MapError(wrong.line, f"unknown setting {wrong.name}; a map has {', '.join(_MAP)}")
        if strange := [inner for inner in block.blocks if inner.kind != "fields"]:
            raise MapError(strange[0].line, f"unknown block {strange[0].kind}; a map has only fields")
        fields = [(each.name, each) for inner in block.blocks for each in inner.settings]
        value = _needed(block, "value_field")
        names = [Setting("value_field", name.strip(), value.line) for name in value.value.split(",")]
        types = [each for each in [block.setting("value_type")] if each is not None]
        yield _map(_needed(block, "pattern"), block, names, types, fields)


def new_maps(block: Block) -> Iterator[DictMap]:
    """Maps of 2.4 anywhere below `block`, under their short or long names. Raises `MapError`."""
    for each in block.blocks:
        if each.kind != "dict_map":
            yield from new_maps(each)
            continue
        plain = Block(each.kind, each.name, each.line, [_short(setting, "dict_map_") for setting in each.settings])
        values, types, fields = [], [], []
        for inner in each.blocks:
            kind = inner.kind.removeprefix("dict_map_").removesuffix("_field")
            settings = [_short(setting, f"dict_map_{kind}_field_") for setting in inner.settings]
            name = "value_type" if kind == "value" else "type"
            types += [Setting(name, setting.value, setting.line) for setting in settings if setting.name == "type"]
            if kind == "value":
                values.append(Setting("value_field", inner.name, inner.line))
            elif kind in ("key", "field"):
                told = [setting for setting in settings if setting.name in ("value", "pattern")]
                if not told:
                    raise MapError(inner.line, f"{inner.kind} {inner.name} has no value")
                fields.append((inner.name, told[-1]))
            else:
                raise MapError(inner.line, f"unknown block {inner.kind}; a dict_map has value_field and key_field")
        if not values:
            raise MapError(each.line, "the map has no value_field")
        yield _map(Setting("pattern", each.name, each.line), plain, values, types, fields)


def _short(setting: Setting, prefix: str) -> Setting:
    return Setting(setting.name.removeprefix(prefix), setting.value, setting.line)


def _needed(block: Block, *names: str) -> Setting:
    found = block.setting(*names)
    if found is None or not found.value:
        raise MapError(found.line if found is not None else block.line, f"the map has no {names[0]}")
    return found


def _map(
    pattern: Setting, block: Block, values: list[Setting], types: list[Setting], fields: list[tuple[str, Setting]]
) -> DictMap:
    table = _needed(block, "table", "sql_table")
    keyspace, dot, name = table.value.rpartition(".")
    notes = [
        Note(each.line, f"the column {each.value} has no counterpart: only the first value is a time")
        for each in values[1:]
    ]
    notes += [
        Note(each.line, f"{each.name} = {each.value}: the consumer's columns are timestamp, text and inet")
        for each in types
        if each.value not in _TYPES
    ]
    for name_ in ("expire_field", "username_field", "value_hexblob"):
        if (setting := block.setting(name_)) is not None:
            notes.append(Note(setting.line, f"{name_} has no counterpart"))
    columns: dict[str, Column] = {}
    for column, setting in fields:
        found = _VARIABLE.fullmatch(setting.value)
        if found is None:
            raise MapError(setting.line, f"the column {column} is {setting.value}, must be a variable such as $user")
        if found[2] not in (None, *_TYPES):
            notes.append(Note(setting.line, f"{setting.value}: the consumer's columns are timestamp, text and inet"))
        columns[found[1] or found[3]] = Column(identifier(column, setting.line), setting.line)
    used = {found[1] or found[3] for found in _VARIABLE.finditer(pattern.value)}
    if lacking := sorted(used - columns.keys()):
        raise MapError(pattern.line, f"no column is ${lacking[0]}, which is in the pattern")
    for variable in columns.keys() - used:
        raise MapError(columns[variable].line, f"${variable} is not in the pattern {pattern.value}")
    return DictMap(
        pattern.value,
        pattern.line,
        identifier(keyspace, table.line) if dot else None,
        Column(identifier(name, table.line), table.line),
        Column(identifier(values[0].value, values[0].line), values[0].line),
        columns,
        next((each.line for each in types if (each.name, each.value) == ("value_type", "string")), None),
        notes,
    )


def parts(map_: DictMap, prefix: str) -> list[tuple[str, str]]:
    """What its pattern has behind `prefix`: variables, as ("$", name), and texts, as ("", text)."""
    found = []
    for part in map_.pattern.removeprefix(prefix).split("/"):
        variable = _VARIABLE.fullmatch(part)
        found.append(("$", variable[1] or variable[3]) if variable else ("", part))
    return found


def identifier(name: str, line: int) -> str:
    """Return the name of a table or column as Cassandra has it. Raises `MapError`."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise MapError(line, f"{name or 'an empty text'} is no name of up to 48 letters, digits and underscores")
    # Without quotes CQL takes capitals for small letters.
    return found[2] if found[1] else found[2].lower()
