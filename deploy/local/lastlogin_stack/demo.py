"""`make demo`: the examples of Dovecot's last_login manual, by real clients, followed from the login to the row."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lastlogin_schemas.topics import EVENTS
from lastlogin_service.counting import counted
from lastlogin_stack.auditor import Auditor, differences
from lastlogin_stack.commands import lastlogin_command, run, running_servers, start_pipeline, stop_servers
from lastlogin_stack.errors import StackError
from lastlogin_stack.examples import DEADLINE_S, EXAMPLES, Example, StepResult, play
from lastlogin_stack.layout import DIRECTORY_VARIABLE, PORT_VARIABLE, Layout
from lastlogin_stack.prometheus import TIMES_FASTER, Prometheus
from lastlogin_stack.readback import EventReader, Record, StatsTable


KEEP_VARIABLE = "DEMO_KEEP"
_FAILED = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN_USER = "test4"


def main() -> None:
    """Run the demo and exit: 0 when every example passed, 1 when one failed, else as `lastlogin_stack` does."""
    run(_demo)


def _demo(layout: Layout) -> int:
    begun = time.monotonic()
    with _servers(layout):
        with (
            Auditor(layout, layout.services_directory) as auditor,
            StatsTable(layout) as table,
            EventReader(layout) as events,
        ):
            print("\nThe examples of Dovecot's last_login manual, by real clients, on a table emptied for them:\n")
            table.truncate()
            written: list[Record] = []
            passed = [_show(example, layout, events, table, written) for example in EXAMPLES]
            audited = _show_audit(auditor, written)
        print(f"$ lastlogin show {_SHOWN_USER}")
        shown = subprocess.run([*lastlogin_command(layout), "show", _SHOWN_USER], check=False)
        ok = all(passed) and audited and shown.returncode == 0
        verdict = "all passed" if ok else "NOT ALL PASSED"
        print(
            f"\n{sum(passed)} of {len(passed)} examples, {time.monotonic() - begun:.0f} s with the start: {verdict}\n"
        )
    return 0 if ok else _FAILED


def _tell_ways(layout: Layout) -> None:
    """Print what to do with servers that go on."""
    command = " ".join(lastlogin_command(layout))
    services, scripts = layout.services_directory, Path(command.split()[0]).parent
    consumer, producer = (
        f"{scripts / name} --config {services / file}"
        for name, file in (("lastlogin-consumer", "consumer.toml"), ("lastlogin-producer", "producer.toml"))
    )
    ports = layout.producer_metrics_port, layout.consumer_metrics_port
    print(f"Log in yourself:  curl imap://{_SHOWN_USER}:{_SHOWN_USER}@127.0.0.1:{layout.imap_port}/")
    print(f"Look it up:       {command} show {_SHOWN_USER}")
    print(f"Follow logins:    {command} tail")
    print(f"Numbers:          curl {' '.join(f'http://127.0.0.1:{port}/metrics' for port in ports)}")
    alerts = f"http://{Prometheus(layout).endpoint}/classic/alerts"
    print(f"Alerts, graphs:   {alerts} ({TIMES_FASTER} times as fast as in production)")
    print(f"Doctors:          {producer} doctor --dovecot-config {layout.server_directory('dovecot') / 'dovecot.conf'}")
    print(f"                  {command} doctor --consumer {services / 'consumer.toml'}")
    print(f"Is any missing?   {command} audit")
    print(f"Set aside:        {command} quarantine list")
    print(f"Write again:      {consumer} replay --since 1h")


def _stop() -> str:
    """The command that stops the servers, also in another shell."""
    own = [f"{name}={os.environ[name]}" for name in (DIRECTORY_VARIABLE, PORT_VARIABLE) if os.environ.get(name)]
    return " ".join([*own, "make stack-down"])


@contextmanager
def _servers(layout: Layout) -> Iterator[None]:
    """Start what does not run yet, and stop exactly that afterwards, unless the user wants to keep it."""
    before = running_servers(layout)
    keep = os.environ.get(KEEP_VARIABLE, "") not in ("", "0")
    try:
        start_pipeline(layout)
        # Last: that nothing was there yet would be an outage to it.
        start_pipeline(layout, [Prometheus.name])
        yield
    except BaseException:
        keep = False
        raise
    finally:
        if keep:
            print(f"{KEEP_VARIABLE} is set, so everything keeps running. `{_stop()}` stops it.")
            _tell_ways(layout)
        else:
            if len(before) < len(running_servers(layout)):
                stop_servers(layout, leaving=before)
            if before:
                print(f"{', '.join(before)} ran before and still does; `{_stop()}` stops it.")


def _show_audit(auditor: Auditor, written: list[Record]) -> bool:
    """Compare what the second reader saw with the events that became rows."""
    seen = auditor.read_to_end(DEADLINE_S)
    problems = [
        problem for each in written for problem in differences(each, seen.get((EVENTS, each.partition, each.offset)))
    ]
    holes = auditor.stop()
    problems += [f"{stream}: missing {numbers}" for stream, numbers in holes.items()]
    print("audit   a second program reads the same topic, with other libraries and a group of its own")
    for problem in problems:
        print(f"        problem {problem}")
    if not problems:
        events = counted(len(written), "event")
        print(f"        saw     {events}, field by field those that became rows; no hole in the numbering")
    print(f"        {'FAIL' if problems else 'PASS'}\n", flush=True)
    return not problems


def _show(example: Example, layout: Layout, events: EventReader, table: StatsTable, written: list[Record]) -> bool:
    print(f"{example.number:<8}{example.title}")
    bystanders = {user: table.row(user) for user in example.bystanders}
    passed = True
    for step in example.steps:
        result = play(step, layout, events, table)
        problems = list(result.problems)
        problems += [f"the row of {user} changed" for user, row in bystanders.items() if table.row(user) != row]
        _print_step(result)
        if result.record is not None:
            written.append(result.record)
        for problem in problems:
            print(f"        problem {problem}")
        passed = passed and not problems
    took = f", row {result.seconds:.2f} s after the login" if passed else ""
    print(f"        {'PASS' if passed else 'FAIL'}{took}\n", flush=True)
    return passed


def _print_step(result: StepResult) -> None:
    print(f"        did     {result.step.what}")
    if result.record is not None:
        print(f"        event   {_describe(result.record)}")
    print(f"        row     {result.step.user}")
    for service, cell in sorted(result.row.items()):
        address = cell.address or "-"
        print(f"                  {service:<8}{_text(cell.time.replace(tzinfo=UTC))}  address {address}")


def _describe(record: Record) -> str:
    event = record.event
    return (
        f"partition {record.partition} offset {record.offset}: {event.user} {event.service} "
        f"{_text(_EPOCH + timedelta(microseconds=event.login_at_us))} address {event.remote_ip or '-'}, "
        f"sequence {event.sequence}, key {event.dict_key}"
    )


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


if __name__ == "__main__":
    try:
        main()
    except StackError as error:
        print(error, file=sys.stderr)
        sys.exit(error.code)
