"""The command line of a service."""

import asyncio
import logging
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import click
import structlog
import uvloop

from lastlogin_service import logs
from lastlogin_service.exits import SOFTWARE, Exit
from lastlogin_service.logs import ServiceSettings
from lastlogin_service.preflight import DEADLINE_S, Finding, verdict
from lastlogin_service.settings import render
from lastlogin_service.starting import tell_starting
from lastlogin_service.subcommand import Source, Subcommand, checked, click_command, config_option


S = TypeVar("S", bound=ServiceSettings)

_EPILOG = """\b
Configuration:
  Every setting has its place in the file (TOML); a commented example is
  deploy/{example} of the source.
  The environment goes before the file: {prefix}<SECTION>__<KEY>,
  for example {prefix}LOG__LEVEL=debug; lists are comma separated.
  --check-config tells every problem at once, --print-config what is in force.
  --check-config also looks whether the service could start here now. It waits
  {deadline:g} s for each server; one that cannot be reached is only a warning.

\b
Signals:
  SIGTERM, SIGINT   finish what has been taken on, then end; the second ends at once
{signals}
\b
Exit codes:
  0 stopped as asked    70 a defect of this program
  75 try again          78 configuration: needs a person     130, 143 ended by a second signal
"""


@contextmanager
def exit_codes(name: str, defect: Callable[[Exception], object]) -> Iterator[None]:
    """End the program for what is raised inside: `Exit` with its sentence, what nobody expected after `defect`."""
    try:
        yield
    except Exit as end:
        for line in end.message.splitlines():
            click.echo(f"{name}: {line}", err=True)
        sys.exit(end.code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        # Usage errors, ends that click itself asked for, a reader such as `head` that has gone: click's business.
        raise
    except Exception as error:  # noqa: BLE001 - the last resort; it is reported
        defect(error)
        sys.exit(SOFTWARE)


def service_command(
    name: str,
    settings_cls: type[S],
    run: Callable[[S, Callable[[], S]], Coroutine[Any, Any, None]],
    *,
    summary: str,
    check: Callable[[S], Coroutine[Any, Any, Sequence[Finding]]] | None = None,
    on_hangup: str | None = None,
    subcommands: Sequence[Subcommand[S]] = (),
) -> click.Command:
    """Build the command `name` that loads `settings_cls`, configures logs and runs `run(settings, reread)` on uvloop.

    `summary` begins --help. `reread()` reads the same sources again and raises `Exit` as a start would. `run` ends
    by returning, or by raising `Exit`; anything else it raises is a defect.
    `check(settings)` finds what is wrong around the service, for --check-config; `on_hangup` says what `run` does on
    SIGHUP, if it does anything. With one of the `subcommands` the service does not run.
    """
    default = Path("/etc/lastlogin") / f"{name.removeprefix('lastlogin-')}.toml"
    prefix = settings_cls.model_config.get("env_prefix", "")

    signals = f"  SIGHUP            {on_hangup}\n" if on_hangup else ""
    epilog = _EPILOG.format(example=default.name, prefix=prefix, deadline=DEADLINE_S, signals=signals)
    told = partial(exit_codes, defect=_tell_defect)

    @click.group(name, help=summary, epilog=epilog, invoke_without_command=True)
    @click.option(
        "--check-config",
        is_flag=True,
        help="Say whether the configuration is good and the service could start, and end.",
    )
    @click.option("--print-config", is_flag=True, help="Print every effective setting as TOML, and end.")
    @click.version_option(version("lastlogin"), prog_name=name, message="%(prog)s %(version)s")
    @click.pass_context
    def command(context: click.Context, file: Path | None, *, check_config: bool, print_config: bool) -> None:
        if context.invoked_subcommand is not None:
            return
        source = Source(settings_cls, file)
        with told(name):
            if print_config:
                click.echo(render(source.load()), nl=False)
            elif check_config:
                _check(name, source, check)
                click.echo(checked(file, default))
            else:
                _run(name, source, run)

    command.params.insert(0, config_option(default))
    for subcommand in subcommands:
        command.add_command(click_command(name, settings_cls, subcommand, told))
    # Without subcommands a plain command: its usage has no place for one, and what is no option is refused as such.
    plain = click.Command(name, callback=command.callback, params=command.params, help=summary, epilog=epilog)
    return command if subcommands else plain


def _check(name: str, source: Source[S], check: Callable[[S], Coroutine[Any, Any, Sequence[Finding]]] | None) -> None:
    settings = source.load()
    # What the libraries log reaches people as the sentence that a failure ends with.
    logging.getLogger().addHandler(logging.NullHandler())
    found = [Finding(warning) for warning in source.warnings(settings)]
    if check is not None:
        found += asyncio.run(check(settings))
    for each in found:
        if each.code is None:
            click.echo(f"{name}: warning: {each.sentence}", err=True)
    if (end := verdict(found)) is not None:
        raise end


def _run(name: str, source: Source[S], run: Callable[[S, Callable[[], S]], Coroutine[Any, Any, None]]) -> None:
    settings = source.load()
    logs.configure(settings.log)
    log = structlog.get_logger(name)
    # Not before: structlog as it comes shows the values of local variables, passwords among them.
    with exit_codes(name, _log_defect):
        tell_starting(name, settings, source.file)
        for warning in source.warnings(settings):
            log.warning(warning, action="secret_readable")
        # Called before there is an event loop: a service may fork first.
        service = run(settings, source.load)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(service)


def _tell_defect(error: Exception) -> None:
    # The plain traceback: others show the values of local variables, passwords among them.
    click.echo("Ending because of a defect; please report these lines", err=True)
    click.echo("".join(traceback.format_exception(error)), nl=False, err=True)


def _log_defect(error: Exception) -> None:
    structlog.get_logger(__name__).critical(
        "Ending because of a defect; please report these lines", action="defect", exc_info=error
    )
