"""Settings: one frozen object per program, read once, every problem told at once.

Three sources, the later wins: defaults, a TOML file, the environment (`<PREFIX><SECTION>__<KEY>`; lists comma
separated or JSON; an empty variable counts as not set). A secret `x` may instead stand in a file of its own,
named by `x_file`. Unknown keys and variables are refused: a misspelt one would otherwise be silently ignored.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.problems import CROSS_CHECK, Origins, unknown_variables, words
from lastlogin_service.rendering import render
from lastlogin_service.secret_files import read_secret_files, warnings
from lastlogin_service.shape import bare, section_of


__all__ = ["HOST_NAME", "Host", "Section", "Settings", "Whole", "load", "matching", "render", "warnings"]

# Room for thousands of rules; a larger file is some other file.
_MAX_FILE_BYTES = 1_048_576


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("boolean", "must be a number")
    return value


# A whole number inside a table or list; as a key's own value it needs no more than int.
Whole = Annotated[int, BeforeValidator(_no_boolean)]


class _CrossChecked(BaseModel):
    """Adds checks over several keys: `problems` names them all, where pydantic's validators stop at the first."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, what is allowed) for each value that does not fit the others. Secrets are read by then."""
        yield from ()

    @field_validator("*")
    @classmethod
    def _without_nul(cls, value: Any) -> Any:
        # What asks the system for such a path or name raises ValueError, which nobody expects of it.
        if isinstance(value, str | Path) and "\0" in str(value):
            raise ValueError("must not contain a NUL")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _boolean_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        # To pydantic true is 1.
        number = bare(cls.model_fields[str(info.field_name)].annotation) in (int, float)
        return _no_boolean(value) if number else value

    @model_validator(mode="after")
    def _cross_check(self) -> Self:
        if found := list(self.problems()):
            raise PydanticCustomError(CROSS_CHECK, "does not fit together", {"found": found})
        return self


class Section(_CrossChecked):
    """A table of the TOML file. Values are checked one by one by their types, together by `problems`.

    A validator of a single value raises ValueError("must be ..."), which is shown as it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class Settings(_CrossChecked, BaseSettings):
    """All settings of a program; a subclass sets `env_prefix` in `model_config` and lists its sections.

    Constructed directly, it takes its values from the arguments alone; `load` reads the sources.
    """

    # Case counts in a file, as inside its sections; variables are read by `_Environment`.
    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_nested_delimiter="__", case_sensitive=True)

    # Variables that begin with our prefix and belong to somebody else.
    foreign_env_prefixes: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings' signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the arguments: to name each value's origin, `load` merges the sources itself."""
        return (init_settings,)


S = TypeVar("S", bound=Settings)


def matching(pattern: str, allowed: str) -> BeforeValidator:
    """Annotation of text that must match `pattern` as a whole; `allowed` says so in words ("must be ...")."""
    whole = re.compile(pattern, re.ASCII)

    # Before the type is looked at: a number without its quotes is to be refused with these words, too.
    def check(value: Any) -> Any:
        if not isinstance(value, str) or not whole.fullmatch(value):
            raise ValueError(allowed)
        return value

    return BeforeValidator(check)


# A name or an IPv4 address. With other labels (RFC 1035) Python's look-up of a name raises UnicodeError.
HOST_NAME = r"(?!.{256})[\w-]{1,63}(?:\.[\w-]{1,63})*\.?"

# A name, an IPv4 or an IPv6 address.
Host = Annotated[
    str,
    matching(
        rf"{HOST_NAME}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*",
        "must be a host name (1 to 63 characters between dots) or address without port, which is a key of its own",
    ),
]


def load(cls: type[S], file: Path | None, environ: Mapping[str, str]) -> S:
    """Read `file` (TOML; None for none) and `environ` into settings.

    Raises `Exit(78)` whose message has a line per problem,
    `<file or variable>: <section.key>: <value> - <what is allowed>`, secrets masked.
    """
    prefix = cls.model_config.get("env_prefix", "")
    ours = {name: value for name, value in environ.items() if value and name.upper().startswith(prefix)}
    unknown = dict(unknown_variables(cls, prefix, ours, cls.foreign_env_prefixes))
    data = _merged(_read_toml(file) if file is not None else {}, _Environment(cls, ours, unknown)())
    for name, field in cls.model_fields.items():
        # So that what a missing section lacks is told key by key.
        if field.is_required() and section_of(field.annotation) is bare(field.annotation):
            data.setdefault(name, {})
    problems = list(read_secret_files(cls, data))
    try:
        settings = cls(**data)
    except ValidationError as error:
        problems += words(cls, prefix, error)
    else:
        if not problems and not unknown:
            return settings
    origins = Origins(prefix, file, frozenset(name.upper() for name in ours))
    raise Exit(CONFIG, "\n".join([*map(origins.line, problems), *unknown.values()]))


class _Environment(EnvSettingsSource):
    """The known ones of the variables given, instead of the process's own; lists may be comma separated."""

    def __init__(self, cls: type[Settings], environ: Mapping[str, str], unknown: Mapping[str, str]) -> None:
        super().__init__(cls, case_sensitive=False)
        self.env_vars = {name.lower(): value for name, value in environ.items() if name not in unknown}

    def decode_complex_value(self, field_name: str, field: FieldInfo | None, value: Any) -> Any:  # noqa: ARG002 - pydantic-settings' signature
        """Decode JSON, else split at commas; what should have been a table stays text and is refused as such."""
        try:
            decoded = json.loads(value)
        except ValueError:
            decoded = None
        if isinstance(decoded, dict | list):
            return decoded
        if field is not None and section_of(field.annotation) is not None:
            return value
        return [item.strip() for item in value.split(",") if item.strip()]


def _merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            content = stream.read(_MAX_FILE_BYTES + 1)
        if len(content) > _MAX_FILE_BYTES:
            raise Exit(CONFIG, f"{file}: is larger than {_MAX_FILE_BYTES} bytes: not a configuration file")
        text = content.decode()
        return tomllib.loads(text)
    except FileNotFoundError:
        raise Exit(CONFIG, f"{file}: there is no such file") from None
    except OSError as error:
        raise Exit(CONFIG, f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Exit(CONFIG, f"{file}: byte {error.start + 1} is not UTF-8, as TOML must be") from None
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).partition(" (at ")
        place = re.sub(r"\)$", "", where) or "unknown place"
        if _leading_zero(text, place):
            what = 'a number cannot begin with 0; what is no number, such as the mode "0660", goes into quotes'
        raise Exit(CONFIG, f"{file}: {place}: not valid TOML: {what}") from None


def _leading_zero(text: str, place: str) -> bool:
    """Whether what is wrong at `place` ("line 3, column 9") of a TOML document is a digit behind a 0."""
    found = re.fullmatch(r"line (\d+), column (\d+)", place)
    if found is None or int(found[2]) == 1:
        return False
    line = text.replace("\r\n", "\n").split("\n")[int(found[1]) - 1]
    return re.compile(r"(?<![\w.])0\d").match(line, int(found[2]) - 2) is not None
