"""`lastlogin audit`: whether a login is missing."""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from lastlogin_ops import reader
from lastlogin_ops.audit import metrics_file
from lastlogin_ops.audit.checking import Audit, Phase
from lastlogin_ops.audit.facts import Facts
from lastlogin_ops.audit.metrics import judged
from lastlogin_ops.audit.report import MAX_SHOWN, Report
from lastlogin_ops.audit.rows import table
from lastlogin_ops.program import Program, needed
from lastlogin_schemas.table import TableMapping
from lastlogin_service.cassandra import CassandraSettings


# Tuples that wait for the disk make Python's collector run in vain: a fifth of all CPU with its own threshold.
_COLLECT_AFTER = 100_000

_HELP = f"""Hold every event that Kafka still has against the table, and say what is missing or wrong.

It reads the topics of events, quarantine and dead letters, and every row of the table: numbers that are missing in a
producer's sequence; rows that are missing, older than their newest event, with another address or write time, or
without an event; records that are no logins and were passed without a dead letter. It changes nothing, joins no
group, and needs room for what it reads in TMPDIR: about 150 bytes for each login and row.

Events that the consumer has not committed, and those older than ttl_s, are not due. Rows that Dovecot itself wrote, and
those older than the events, cannot be verified: they are counted, and are not wrong. --details names users.

Exit codes: 0 nothing is wrong, 1 something is, 69 Kafka or Cassandra away, 78 configuration or rights. At most
{MAX_SHOWN} of each kind are shown, all are counted.
"""


def _prom(_context: click.Context, _option: click.Parameter, file: Path | None) -> Path | None:
    if file is not None and file.suffix != ".prom":
        raise click.BadParameter("node_exporter reads only files whose names end with .prom")
    return file


@click.command(help=_HELP)
@click.option("--group", help="The consumer's group.  [default: lag.group of the configuration]")
@click.option(
    "--in-flight",
    "in_flight_s",
    type=click.IntRange(0, 86_400),
    default=60,
    show_default=True,
    help="Seconds that a message may be on its way: numbers missing below younger ones are not judged yet.",
)
@click.option("--details", is_flag=True, help="Tell which rows are wrong: users, addresses, times. Personal data.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one object.")
@click.option(
    "--metrics-file",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_prom,
    help="Also write what was found to this file (*.prom), for node_exporter's textfile collector.",
)
@click.pass_obj
def audit(
    program: Program, *, group: str | None, in_flight_s: int, details: bool, as_json: bool, file: Path | None
) -> None:
    """Run one audit."""
    began = time.monotonic()
    with metrics_file.telling_failures(file) if file else nullcontext():
        report = _report(program, group, in_flight_s, keeps_cases=details)
    code = int(report.wrong > 0)
    try:
        if file:
            metrics_file.write(file, judged(report, code, time.time(), time.monotonic() - began))
    finally:
        click.echo(json.dumps(report.document()) if as_json else report.text())
    sys.exit(code)


def _report(program: Program, group: str | None, in_flight_s: int, *, keeps_cases: bool) -> Report:
    """Run the audit. Raises `Exit`."""
    settings = program.settings()
    kafka = needed(settings.kafka, "kafka", "bootstrap_servers")
    cassandra = needed(settings.cassandra, "cassandra", "contact_points")
    now_ms = time.time_ns() // 1_000_000
    wanted = settings.columns.mapping(cassandra.keyspace, cassandra.table)
    mapping = replace(_written(cassandra, wanted), ttl_s=settings.ttl_s)
    report = Report(
        settings.topics.events,
        group or settings.lag.group,
        list(mapping.services),
        mapping.address_type,
        keeps_cases=keeps_cases,
    )
    gc.set_threshold(_COLLECT_AFTER)
    console = Console(stderr=True)
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
        table(cassandra, mapping) as rows,
        Facts() as facts,
    ):
        run = Audit(settings, kafka, rows, report, _phases(progress), now_ms, now_ms - in_flight_s * 1000)
        asyncio.run(run.run(facts))
    return report


def _written(cassandra: CassandraSettings, wanted: TableMapping) -> TableMapping:
    """What of the table the consumer writes. Raises `Exit`."""
    found = reader.mapping(cassandra, wanted)
    # The look-up shows columns of further services, which are somebody else's.
    services = {name: columns for name, columns in found.services.items() if name in wanted.services}
    return replace(found, services=services)


def _phases(progress: Progress) -> Phase:
    def phase(name: str, total: int) -> Callable[[int], object]:
        task = progress.add_task(name, total=total)
        return lambda count: progress.advance(task, count)

    return phase
