"""`make audit-drill`: crashes that lose nothing, losses that are planted, and what audit and replay make of them.

It has servers of its own, beside those of `make demo`, and removes them with all their data: it damages what is there.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

from lastlogin_stack.audited import Audited, audited, settled
from lastlogin_stack.cassandra import Cassandra
from lastlogin_stack.commands import lastlogin_command, run
from lastlogin_stack.dovecot import Dovecot
from lastlogin_stack.errors import StackError
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import Layout
from lastlogin_stack.logins import Logins
from lastlogin_stack.own_servers import UNDONE, own_layout, own_servers
from lastlogin_stack.planted import lose_a_message, lose_rows, spool_says
from lastlogin_stack.services import ConsumerService, ProducerService


_FAILED = 1
_PORT = 17000
_NAMES = [f"drill{number}" for number in range(1, 61)]
# Each of them logs in by two services.
_VICTIM, _OTHER, _LOSER = "drill1", "drill2", "drill3"
_DOWN_S = 2.0
_LOGINS_BETWEEN = 50


def main() -> None:
    """Run the drill and exit: 0 when all came out as it must, 1 when not, else as `lastlogin_stack` does."""
    run(_drill, lambda: own_layout(os.environ, "drill", _PORT), undone=UNDONE)


def _drill(layout: Layout) -> int:
    begun = time.monotonic()
    with own_servers(layout, _NAMES):
        passed = [_killed_in_turn(layout)]
        # What follows goes by what is there.
        if passed[0]:
            passed += _losses(layout)
        print("$ lastlogin audit --in-flight 0", flush=True)
        subprocess.run([*lastlogin_command(layout), "audit", "--in-flight", "0"], check=False)
        verdict = "all came out as it must" if all(passed) else "NOT ALL CAME OUT AS IT MUST"
        print(f"\n{time.monotonic() - begun:.0f} s with the start: {verdict}\n", flush=True)
    return 0 if all(passed) else _FAILED


def _killed_in_turn(layout: Layout) -> bool:
    print("1       users log in all the time, while each of the servers is killed (kill -9) and started again")
    servers = (ProducerService(layout), ConsumerService(layout), Kafka(layout), Cassandra(layout))
    with Logins(layout, _NAMES) as logins:
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
