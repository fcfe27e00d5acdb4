"""The command line of a service."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
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
from lastlogin_service.settings import load, render, warnings


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
) -> click.Command:
    """Build the command `name` that loads `settings_cls`, configures logs and runs `run(settings, reread)` on uvloop.

    `summary` begins --help. `reread()` reads the same sources again and raises `Exit` as a start would. `run` ends
    by returning, or by raising `Exit`; anything else it raises is a defect.
    `check(settings)` finds what is wrong around the service, for --check-config; `on_hangup` says what `run` does on
    SIGHUP, if it does anything.
    """
    default = Path("/etc/lastlogin") / f"{name.removeprefix('lastlogin-')}.toml"
    prefix = settings_cls.model_config.get("env_prefix", "")

    signals = f"  SIGHUP            {on_hangup}\n" if on_hangup else ""
    epilog = _EPILOG.format(example=default.name, prefix=prefix, deadline=DEADLINE_S, signals=signals)

    @click.command(name, help=summary, epilog=epilog)
    @click.option(
        "--config",
        "file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help=f"Read this file.  [default: {default} when it exists]",
    )
    @click.option(
        "--check-config",
        is_flag=True,
        help="Say whether the configuration is good and the service could start, and end.",
    )
    @click.option("--print-config", is_flag=True, help="Print every effective setting as TOML, and end.")
    @click.version_option(version("lastlogin"), prog_name=name, message="%(prog)s %(version)s")
    def command(file: Path | None, *, check_config: bool, print_config: bool) -> None:
        if file is None and default.exists():
            file = default
        with exit_codes(name, _log_defect):
            settings = load(settings_cls, file, os.environ)
            if print_config:
                click.echo(render(settings), nl=False)
            elif check_config:
                # What the libraries log reaches people as the sentence that a failure ends with.
                logging.getLogger().addHandler(logging.NullHandler())
                found = [Finding(warning) for warning in warnings(settings, file)]
                if check is not None:
                    found += asyncio.run(check(settings))
                for each in found:
                    if each.code is None:
                        click.echo(f"{name}: warning: {each.sentence}", err=True)
                if (end := verdict(found)) is not None:
                    raise end
                click.echo(f"{file or 'environment'}: ok")
            else:
                logs.configure(settings.log)
                log = structlog.get_logger(name)
                for warning in warnings(settings, file):
                    log.warning(warning, action="secret_readable")
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(run(settings, lambda: load(settings_cls, file, os.environ)))

    return command


def _log_defect(error: Exception) -> None:
    structlog.get_logger(__name__).critical(
        "Ending because of a defect; please report these lines", action="defect", exc_info=error
    )
