"""Secrets that stand in files of their own: key `x` is read from the file that `x_file` names."""

import stat
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from lastlogin_service.problems import Problem, shown
from lastlogin_service.shape import Location, bare, section_of


# A password or token; what is larger is some other file.
_MAX_BYTES = 65_536


def read_secret_files(cls: type[BaseModel], data: dict[str, Any]) -> Iterator[Problem]:
    """Read every secret file that `data`, meant for `cls`, names, into `data`. Yield what goes wrong.

    A secret that could not be read is put in as empty text: that it is "missing" is no second problem.
    """
    for section, table, location in _tables(cls, data, ()):
        for name in _secret_names(section):
            key = f"{name}_file"
            file = table.get(key)
            if not isinstance(file, str | Path) or not file or "\0" in str(file):
                continue
            how = f"must not be given together with {name}" if table.get(name) else ""
            table[name] = ""
            try:
                table[name] = _content(Path(file))
            except OSError as error:
                how = f"cannot be read: {error.strerror}"
            except ValueError as error:
                how = str(error)
            if how:
                yield Problem((*location, key), shown(cls, (*location, key), file), how)


def warnings(settings: BaseModel, file: Path | None) -> Iterator[str]:
    """Yield a sentence for each secret that every user of this machine can read, in `file` or a file of its own."""
    written = set(_secrets_in(type(settings), file)) if file is not None else set()
    for section in _sections(settings):
        for name in _secret_names(type(section)):
            secret: SecretStr | None = getattr(section, name)
            own: Path | None = getattr(section, f"{name}_file")
            path = own or file
            if secret is None or path is None:
                continue
            with suppress(OSError):
                inside = own is not None or (name, secret.get_secret_value()) in written
                if inside and path.stat().st_mode & stat.S_IROTH:
                    yield f"{path}: every user of this machine can read the secret {name} in it"


def _secrets_in(cls: type[BaseModel], file: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of each secret that a configuration file has in itself."""
    with suppress(OSError, ValueError):
        for section, table, _ in _tables(cls, tomllib.loads(file.read_text()), ()):
            yield from ((name, table[name]) for name in _secret_names(section) if isinstance(table.get(name), str))


def _tables(
    cls: type[BaseModel], data: Any, location: Location
) -> Iterator[tuple[type[BaseModel], dict[str, Any], Location]]:
    if not isinstance(data, dict):
        return
    yield cls, data, location
    for name, field in cls.model_fields.items():
        below, value = section_of(field.annotation), data.get(name)
        if below is None:
            continue
        if bare(field.annotation) is below:
            yield from _tables(below, value, (*location, name))
        elif isinstance(value, dict | list):
            for step, item in value.items() if isinstance(value, dict) else enumerate(value):
                yield from _tables(below, item, (*location, name, step))


def _content(path: Path) -> str:
    with path.open("rb") as stream:
        mode = path.stat().st_mode
        if mode & stat.S_IWOTH and not stat.S_ISCHR(mode):
            raise ValueError("every user of this machine can write to it: chmod o-w")
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"must be a file of at most {_MAX_BYTES} bytes that holds nothing but the secret")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("must be a text file in UTF-8") from None
    text = text.rstrip("\r\n")
    if not text:
        raise ValueError("must not be empty")
    return text


def _secret_names(cls: type[BaseModel]) -> list[str]:
    return [
        name
        for name, field in cls.model_fields.items()
        if bare(field.annotation) is SecretStr and f"{name}_file" in cls.model_fields
    ]


def _sections(section: BaseModel) -> Iterator[BaseModel]:
    yield section
    for _, value in section:
        if isinstance(value, BaseModel):
            yield from _sections(value)
        elif isinstance(value, list | tuple | dict):
            for item in value.values() if isinstance(value, dict) else value:
                if isinstance(item, BaseModel):
                    yield from _sections(item)
