"""`configuration.md`: every setting of every program: type and default from the code, meaning from `deploy/`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_docs import examples
from lastlogin_ops.settings import OpsSettings
from lastlogin_producer.settings import ProducerSettings
from lastlogin_service.rendering import toml_value
from lastlogin_service.settings import Settings
from lastlogin_service.shape import allowed, bare, field_type, type_at, variable


_HERE = Path(__file__).parent
_DEPLOY = Path(__file__).parents[2] / "deploy"


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is configured, and the example file that explains how."""

    name: str
    settings: type[Settings]
    example: Path

    @property
    def prefix(self) -> str:
        """What its environment variables begin with."""
        return self.settings.model_config.get("env_prefix", "")

    def shown(self) -> list[examples.Shown]:
        """What the example file shows."""
        return list(examples.read(self.example.read_text(encoding="utf-8")))


PROGRAMS = (
    Program("lastlogin-producer", ProducerSettings, _DEPLOY / "producer.toml"),
    Program("lastlogin-consumer", ConsumerSettings, _DEPLOY / "consumer.toml"),
    Program("lastlogin", OpsSettings, _DEPLOY / "lastlogin.toml"),
)


def page() -> str:
    """Text of the page: the introduction, then each program's settings in the order of its example file."""
    introduction = (_HERE / "configuration_intro.md").read_text(encoding="utf-8")
    return "\n".join([introduction, *(line for program in PROGRAMS for line in _program(program))]).rstrip() + "\n"


def field_at(cls: type[BaseModel], location: tuple[str, ...]) -> FieldInfo:
    """Return the field of the setting at `location` below `cls`. Raises KeyError when there is none."""
    return bare(type_at(cls, location[:-1])).model_fields[location[-1]]  # type: ignore[no-any-return] # a FieldInfo


def is_computed(field: FieldInfo) -> bool:
    """Tell whether the default depends on the machine: it comes from a function, not from a type such as `dict`."""
    return field.default_factory is not None and not isinstance(field.default_factory, type)


def default_of(field: FieldInfo) -> Any:
    """Return the default of a setting that has one which is the same everywhere."""
    return field.get_default(call_default_factory=True, validated_data={})


def _program(program: Program) -> Iterator[str]:
    yield f"\n## {program.name}\n"
    yield f"Example with every setting: [{program.example.name}](../deploy/{program.example.name})."
    for shown in program.shown():
        if shown.value is None:
            yield from _section(program, shown)
        else:
            yield from _setting(program, shown)


def _section(program: Program, shown: examples.Shown) -> Iterator[str]:
    name, *which = shown.location
    as_list = which == [examples.FIRST]
    title = f"[[{name}]]" if as_list else f"[{'.'.join(shown.location)}]"
    yield f"\n### {program.name} `{title}`\n"
    if as_list:
        yield f"`{variable(program.prefix, (name,))}`, all of them as JSON\\"
    yield _filled(shown.explanation)


def _setting(program: Program, shown: examples.Shown) -> Iterator[str]:
    field = field_at(program.settings, shown.location)
    form = allowed(field_type(field)) or "see below"
    yield f"\n- **`{shown.location[-1]}`**: {form}; {_default(field)}.\\"
    if shown.location[1:2] != (examples.FIRST,):
        yield f"  `{variable(program.prefix, shown.location)}`\\"
    yield _filled(shown.explanation, indent="  ")


def _filled(text: str, indent: str = "") -> str:
    return fill(
        text.replace("<", "&lt;"),
        120,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    if is_computed(field):
        return "worked out at the start unless given"
    default = default_of(field)
    return "no default" if default is None else f"default `{toml_value(default)}`"
