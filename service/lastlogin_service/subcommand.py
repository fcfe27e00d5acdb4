"""What a service's command can do instead of running the service."""

import asyncio
import logging
import os
import shlex
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import click

from lastlogin_service.logs import ServiceSettings
from lastlogin_service.settings import load, warnings


S = TypeVar("S", bound=ServiceSettings)


@dataclass(frozen=True, slots=True)
class Source(Generic[S]):
    """Where settings come from: `file` (None: the environment alone), read when `load` is called."""

    settings_cls: type[S]
    file: Path | None

    def load(self) -> S:
        """Read them. Raises `Exit(78)` with a line per problem."""
        return load(self.settings_cls, self.file, os.environ)

    def warnings(self, settings: S) -> list[str]:
        """What a start would warn of."""
        return list(warnings(settings, self.file))

    def command(self, program: str, *arguments: str) -> str:
        """What to type for another run with the same settings."""
        return command_with(self.file, program, *arguments)


@dataclass(frozen=True, slots=True)
class Subcommand(Generic[S]):
    """One of them. `run(source, **values of params)` returns the exit code, or raises `Exit`; it speaks for itself."""

    name: str
    summary: str
    run: Callable[..., Coroutine[Any, Any, int]]
    params: Sequence[click.Parameter] = ()


def config_option(default: Path) -> click.Option:
    """Build the option --config, which gives the path, or `default` when that exists, or None."""

    def chosen(_context: click.Context, _option: click.Parameter, file: Path | None) -> Path | None:
        return file or (default if is_there(default) else None)

    return click.Option(
        ["--config", "file"],
        metavar="FILE",
        type=click.Path(path_type=Path),
        callback=chosen,
        help=f"Read this file.  [default: {default} when it exists]",
    )


def command_with(file: Path | None, program: str, *arguments: str) -> str:
    """What to type for a subcommand of `program` with the settings of `file`."""
    return shlex.join([program, *(["--config", str(file)] if file else []), *arguments])


def checked(file: Path | None, default: Path) -> str:
    """What --check-config says of settings that are good; `file` is what `config_option` gave."""
    return f"{file or f'environment and defaults, for there is no {default}'}: ok"


def is_there(file: Path) -> bool:
    """Whether there is such a file."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        # Whoever may not look at it must not start without it: reading it says why it cannot be read.
        return True
    return True


def click_command(
    program: str,
    settings_cls: type[S],
    subcommand: Subcommand[S],
    exit_codes: Callable[[str], AbstractContextManager[None]],
) -> click.Command:
    """Build the subcommand of `program`. Its own --config goes before the one of the command above it."""

    @click.pass_context
    def command(context: click.Context, /, own_file: Path | None, **values: Any) -> None:
        file = own_file or (context.parent.params["file"] if context.parent is not None else None)
        # What the libraries log is for services; people get the sentence that a failure ends with.
        logging.getLogger().addHandler(logging.NullHandler())
        with exit_codes(f"{program} {subcommand.name}"):
            code = asyncio.run(subcommand.run(Source(settings_cls, file), **values))
        context.exit(code)

    config = click.Option(["--config", "own_file"], metavar="FILE", type=click.Path(path_type=Path), hidden=True)
    return click.Command(
        subcommand.name, help=subcommand.summary, callback=command, params=[config, *subcommand.params]
    )
