"""`lastlogin schema`: the table in Cassandra, compared and made."""

import sys

import click

from lastlogin_ops import schema
from lastlogin_ops.program import Program, needed
from lastlogin_schemas.table import TableMapping
from lastlogin_service.cassandra import CassandraSettings


@click.group("schema", help="Compare the table in Cassandra with what [columns] wants, and make it so.")
def schema_group() -> None:
    """Group of `plan` and `apply`."""


@schema_group.command("plan", help="Print the CQL that `apply` would run; exit code 1: there is some.")
@click.pass_obj
def plan_command(program: Program) -> None:
    """Compare, change nothing."""
    statements = schema.planned(*_wanted(program))
    for statement in statements:
        click.echo(f"{statement};")
    if not statements:
        click.echo("Nothing is to be done.", err=True)
    sys.exit(int(bool(statements)))


@schema_group.command("apply", help="Make keyspace and table where there are none, and add columns; safe to repeat.")
@click.pass_obj
def apply_command(program: Program) -> None:
    """Make it so, and print what was run."""
    statements = schema.apply(*_wanted(program))
    for statement in statements:
        click.echo(f"{statement};")
    click.echo("Done." if statements else "Nothing was changed.", err=True)


def _wanted(program: Program) -> tuple[CassandraSettings, TableMapping]:
    settings = program.settings()
    cassandra = needed(settings.cassandra, "cassandra", "contact_points")
    return cassandra, settings.columns.mapping(cassandra.keyspace, cassandra.table)
