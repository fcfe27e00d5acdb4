"""`make audit-drill`: crashes that lose nothing, losses that are planted, and what audit and replay make of them.

It has servers of its own, beside those of `make demo`, and removes them with all their data: it damages what is there.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lastlogin_stack.audited import Audited, audited, settled
from lastlogin_stack.cassandra import Cassandra
from lastlogin_stack.commands import (
    SERVERS,
    lastlogin_command,
    run,
    running_servers,
    start_pipeline,
    stop_servers,
    wipe,
)
from lastlogin_stack.dovecot import Dovecot, DovecotOptions, MailUser
from lastlogin_stack.errors import StackError
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import DIRECTORY_VARIABLE, PORT_VARIABLE, Layout, default_directory, layout_from
from lastlogin_stack.logins import Logins
from lastlogin_stack.planted import lose_a_message, lose_rows, spool_says
from lastlogin_stack.services import ConsumerService, ProducerService


_FAILED = 1
_PORT = 17000
_USERS = 60
# Each of them logs in by two services.
_VICTIM, _OTHER, _LOSER = "drill1", "drill2", "drill3"
_DOWN_S = 2.0
_LOGINS_BETWEEN = 50


def main() -> None:
    """Run the drill and exit: 0 when all came out as it must, 1 when not, else as `lastlogin_stack` does."""
    run(_drill, lambda: layout_of(os.environ), undone="its servers are stopped, and their data removed")


def layout_of(environ: Mapping[str, str]) -> Layout:
    """Return where the drill has its servers: a directory of its own, also where the environment names another one."""
    found = layout_from({PORT_VARIABLE: str(_PORT)} | dict(environ))
    directory = Path(environ[DIRECTORY_VARIABLE]) / "drill" if environ.get(DIRECTORY_VARIABLE) else None
    return Layout((directory or default_directory("drill")).absolute(), found.base_port)


def _drill(layout: Layout) -> int:
    begun = time.monotonic()
    with _servers(layout):
        passed = [_killed_in_turn(layout)]
        # What follows goes by what is there.
        if passed[0]:
            passed += _losses(layout)
        print("$ lastlogin audit --in-flight 0", flush=True)
        subprocess.run([*lastlogin_command(layout), "audit", "--in-flight", "0"], check=False)
        verdict = "all came out as it must" if all(passed) else "NOT ALL CAME OUT AS IT MUST"
        print(f"\n{time.monotonic() - begun:.0f} s with the start: {verdict}\n", flush=True)
    return 0 if all(passed) else _FAILED


@contextmanager
def _servers(layout: Layout) -> Iterator[None]:
    """Start everything, empty, and remove it all afterwards."""
    _remove(layout, "left by a drill that was interrupted")
    try:
        start_pipeline(layout, [name for name in SERVERS if name != Dovecot.name])
        # Their rows have addresses.
        users = tuple(MailUser(f"drill{number}", "last-login/%s/%u/%r") for number in range(1, _USERS + 1))
        dovecot = Dovecot(layout, DovecotOptions(users=users))
        dovecot.start()
        print(f"dovecot    ready in {dovecot.wait_ready():.1f} s on {dovecot.endpoint}\n", flush=True)
        yield
    finally:
        _remove(layout, "done with it")


def _remove(layout: Layout, why: str) -> None:
    if running_servers(layout):
        stop_servers(layout)
    if layout.own_paths():
        print(f"{why}: ", end="")
        wipe(layout)


def _killed_in_turn(layout: Layout) -> bool:
    print("1       users log in all the time, while each of the servers is killed (kill -9) and started again")
    servers = (ProducerService(layout), ConsumerService(layout), Kafka(layout), Cassandra(layout))
    with Logins(layout, [f"drill{number}" for number in range(1, _USERS + 1)]) as logins:
        logins.wait_for(_LOGINS_BETWEEN)
        for server in servers:
            before, begun = logins.count, time.monotonic()
            server.kill()
            time.sleep(_DOWN_S)
            server.start()
            server.wait_ready()
            print(
                f"        killed  {server.name:<10}answers again after {time.monotonic() - begun:.1f} s; "
                f"{logins.count - before} logins meanwhile",
                flush=True,
            )
            logins.wait_for(_LOGINS_BETWEEN)
    settled(layout)
    # Dovecot lets users in also when it finds no producer, and says so in its log.
    unserved = (
        layout.log_file(Dovecot.name).read_text("utf-8", "replace").count("Error: last_login_dict: Failed to write")
    )
    numbered = spool_says(ProducerService(layout), "last_sequence")
    print(
        f"        in all  {logins.count} logins by IMAP and POP3, of which {unserved} found no producer, "
        f"and {logins.failed} that did not get in; the producer has numbered {numbered}"
    )
    problems = [] if numbered >= logins.count - unserved > 0 else ["it has not numbered all that it has acknowledged"]
    return _judge(audited(layout), problems, rows=[], holes=[])


def _losses(layout: Layout) -> Iterator[bool]:
    print("2       the table loses a row, and of another one the newest login: as if an older backup had been restored")
    lost = lose_rows(layout, missing=_VICTIM, older=_OTHER)
    yield _judge(audited(layout), [], rows=lost, holes=[])

    print("3       a bit flips in the producer's spool, in a login that waits there for Kafka")
    hole = lose_a_message(layout, _LOSER)
    settled(layout)
    yield _judge(audited(layout), [], rows=lost, holes=[hole])

    print("4       the topic is replayed: what it has comes back, and what it never had stays named")
    replay = [*ConsumerService(layout).command(), "replay", "--since", "1h"]
    done = subprocess.run(replay, check=False, capture_output=True, text=True)
    # Its log is for programs.
    for line in (done.stdout if done.returncode == 0 else done.stderr).splitlines():
        print(f"        replay  {line}")
    problems = [] if done.returncode == 0 else [f"the replay ended with {done.returncode}"]
    yield _judge(audited(layout), problems, rows=[], holes=[hole])


def _judge(found: Audited, problems: list[str], *, rows: list[tuple[str, str, str]], holes: list[str]) -> bool:
    """Print what the audit has found; return whether it is what it must be."""
    print(f"        audit   {found}")
    for what, must, is_ in (("rows", sorted(rows), found.wrong_rows), ("numbers", holes, found.holes)):
        if must != is_:
            problems.append(f"{what}: {must} expected")
    if (code := int(bool(rows or holes))) != found.code:
        problems.append(f"exit code {found.code}, must be {code}")
    for problem in problems:
        print(f"        problem {problem}")
    print(f"        {'FAIL' if problems else 'PASS'}\n", flush=True)
    return not problems


if __name__ == "__main__":
    try:
        main()
    except StackError as error:
        print(error, file=sys.stderr)
        sys.exit(error.code)
