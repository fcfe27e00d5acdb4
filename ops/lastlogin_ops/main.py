"""The command `lastlogin`."""

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from lastlogin_ops.audit.command import audit
from lastlogin_ops.dlq_commands import dlq_group
from lastlogin_ops.doctor.command import doctor
from lastlogin_ops.program import Program
from lastlogin_ops.quarantine_commands import quarantine_group
from lastlogin_ops.schema_commands import schema_group
from lastlogin_ops.show import show
from lastlogin_ops.tail import tail
from lastlogin_ops.topics_commands import topics_group
from lastlogin_service.command import exit_codes
from lastlogin_service.settings import render
from lastlogin_service.subcommand import checked, config_option


_DEFAULT_FILE = Path("/etc/lastlogin/lastlogin.toml")

_HELP = """Look up when a mailbox was last used, watch logins as they come, prove that none is missing, look after the
topics in Kafka, what was set aside there, and the table in Cassandra, and see whether all is well."""

_EPILOG = """\b
Configuration:
  A TOML file; a commented example is deploy/lastlogin.toml of the source. The
  environment goes before it: LASTLOGIN_<SECTION>__<KEY>, for example
  LASTLOGIN_CASSANDRA__CONTACT_POINTS=192.0.2.1,192.0.2.2

\b
Exit codes:
  0 found, or nothing to do     1 no such user or record, the topics or the
                                  table need changes, some records still do
                                  not fit, or the audit or the doctor found
                                  something wrong
  2 usage                       65 the row holds what is no time
  69 Kafka or Cassandra away    70 a defect of this program
  78 configuration, or missing rights
"""


class _Group(click.Group):
    """Ends with our exit codes, whatever subcommand it was."""

    def invoke(self, ctx: click.Context) -> Any:
        with exit_codes("lastlogin", _tell_defect):
            return super().invoke(ctx)


@click.group("lastlogin", cls=_Group, help=_HELP, epilog=_EPILOG, invoke_without_command=True)
@click.option("--check-config", is_flag=True, help="Say whether the configuration is good, and end.")
@click.option("--print-config", is_flag=True, help="Print every effective setting as TOML, and end.")
@click.version_option(version("lastlogin"), prog_name="lastlogin", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, file: Path | None, *, check_config: bool, print_config: bool) -> None:
    """Entry of the console script."""
    # What the libraries log reaches people as the sentence that a failure ends with.
    logging.getLogger().addHandler(logging.NullHandler())
    context.obj = Program(file)
    if print_config:
        click.echo(render(context.obj.settings()), nl=False)
    elif check_config:
        context.obj.settings()
        click.echo(checked(file, _DEFAULT_FILE))
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())
    else:
        return
    context.exit()


main.params.insert(0, config_option(_DEFAULT_FILE))
main.add_command(audit)
main.add_command(dlq_group)
main.add_command(doctor)
main.add_command(schema_group)
main.add_command(show)
main.add_command(quarantine_group)
main.add_command(tail)
main.add_command(topics_group)


def _tell_defect(error: Exception) -> None:
    click.echo(f"lastlogin: a defect of this program, please report it: {type(error).__name__}: {error}", err=True)
