"""`lastlogin audit` between a real Kafka and a real Cassandra."""

import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, cast

from lastlogin_ops.audit.checking import Audit
from lastlogin_ops.audit.facts import Facts
from lastlogin_ops.audit.report import Report
from lastlogin_ops.audit.verdicts import Verdict
from lastlogin_ops.settings import OpsSettings
from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.table import ServiceColumns, TableMapping
from lastlogin_stack.planted import lose_rows
from tests.support.aside import WRITE
from tests.support.audited import Audited, details, logins
from tests.support.consumer import ConsumerProcess
from tests.support.damage import flip_bit
from tests.support.logins import message


NOTHING_WRONG = {"missing": 0, "older": 0, "write_time": 0, "address": 0, "no_event": 0}


def consumer(world: Audited, directory: Path) -> ConsumerProcess:
    """A real consumer of them."""
    return ConsumerProcess(world.layout, world.topics, directory, CASSANDRA__TABLE=world.table.name)


def test_what_a_consumer_has_written(world: Audited, tmp_path: Path) -> None:
    """Ties, old logins that come late, copies, damaged and future records, quarantine: nothing is wrong."""
    events = logins(world, Random(3), 2_000)  # noqa: S311 - repeatable
    world.topics.publish(*events, *events[:50], world.login("u1@example.org", service="sieve"))
    world.topics.publish(world.login("future@example.org", 3_600_000_000))
    value, headers = message(world.login("u3@example.org"))
    world.topics.publish_raw(value[:-1], headers)
    world.topics.flush()
    world.quarantined(WRITE._replace(epoch=1, sequence=world.number()))
    world.topics.publish(world.login("u4@example.org", 5_000_000))
    with consumer(world, tmp_path) as process:
        process.wait_for("assigned")
        process.wait_until(lambda: world.topics.lag(process.group) == 0)
        assert 0 == process.stop()

    found = world.found(0)

    rows = len(world.table.cells())
    assert found["wrong"] == 0
    assert found["rows"]["right"] == rows > 1_000
    assert found["rows"]["pending"] == 1
    assert found["rows"]["wrong"] == NOTHING_WRONG
    assert found["events"]["records"] == 2_000 + 50 + 4
    assert (found["events"]["unmapped"], found["events"]["pending"]) == (1, 0)
    assert (found["dead_letters"], found["quarantined"]) == (2, 1)
    assert (found["sequences"]["streams"], found["sequences"]["holes"]) == (1, [])
    text = world.run().out
    assert text.endswith("Nothing is wrong.\n")
    assert "@example.org" not in text


def test_one_newest_login_skipped(world: Audited, tmp_path: Path) -> None:
    """A consumer that skips one newest login out of many, and commits, is caught, with the very record."""
    rng = Random(41)  # noqa: S311 - repeatable
    events = logins(world, rng, 20_000)
    newest = dict[tuple[str, str], LoginEvent]()
    for event in events:
        key = event.user, event.service
        if key not in newest or event.login_at_us > newest[key].login_at_us:
            newest[key] = event
    skipped = rng.choice(list(newest.values()))
    world.topics.publish(*events)
    process = consumer(world, tmp_path)
    program = Path(__file__).parents[1] / "support" / "skipping.py"
    process.starter = [sys.executable, "-P", str(program), skipped.user, str(skipped.login_at_us), "--"]
    with process:
        process.wait_for("assigned")
        process.wait_until(lambda: world.topics.lag(process.group) == 0)
        assert 0 == process.stop()

    found = world.found(1)

    assert found["wrong"] == 1
    [detail] = found["details"]
    assert (detail["user"], detail["service"]) == (skipped.user, skipped.service)
    assert detail["verdict"] in ("missing", "older")
    assert detail["event"]["login_at_us"] == skipped.login_at_us


def test_planted_rows(world: Audited, tmp_path: Path) -> None:
    """A row that is missing, older than its event, of another address, time or login is named for what it is."""
    names = ("sound", "same", "missing", "older", "address", "written", "invented")
    *published, invented = (world.login(name) for name in names)
    world.topics.publish(*published)
    sound, same, _, older, address, written = published
    world.write(
        sound,
        same,
        older._replace(login_at_us=older.login_at_us - 1),
        address._replace(remote_ip="198.51.100.7"),
    )
    at_us = written.login_at_us
    world.session.execute(
        f"INSERT INTO {world.mapping.qualified_table} (user, last_login_imap, remote_ip_imap) "
        f"VALUES ('written', {at_us // 1000}, '192.0.2.1') USING TIMESTAMP {at_us + 7_000}"
    )
    # Its login is later than the topic's beginning by more than a clock may be ahead.
    world.write(invented._replace(login_at_us=world.now_us + 400_000_000))
    world.commit()

    found = world.found(1)

    assert details(found) == [
        ("address", "address", "imap"),
        ("missing", "missing", "imap"),
        ("no_event", "invented", "imap"),
        ("older", "older", "imap"),
        ("write_time", "written", "imap"),
    ]
    assert found["rows"]["right"] == 2
    assert found["rows"]["wrong"] == dict.fromkeys(NOTHING_WRONG, 1)
    assert found["wrong"] == 5
    file = tmp_path / "audit.prom"
    # With the clocks that this allows the invented login's event may have been deleted.
    text = world.run("--metrics-file", str(file), FUTURE_LIMIT_S="3600")
    assert text.code == 1
    assert "  WRONG    1 missing\n" in text.out
    assert text.out.endswith("Something is wrong.\n")
    told = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("#")]
    wrong = dict.fromkeys(NOTHING_WRONG, 1.0) | {"no_event": 0.0}
    assert {f'lastlogin_audit_wrong_rows{{verdict="{each}"}} {count}' for each, count in wrong.items()} <= set(told)
    assert told[-1] == "lastlogin_audit_exit_code 1.0"
    completed_at_s, duration_s = (float(line.split()[1]) for line in told[-3:-1])
    assert completed_at_s - duration_s > world.now_us / 1_000_000
    assert 0 < duration_s < time.time() - world.now_us / 1_000_000


def test_rows_that_the_drill_loses(world: Audited) -> None:
    """What `make audit-drill` plants in the table is what an audit names, and writing the logins again mends it."""
    events = [world.login(user, service=service) for user in ("a", "b", "c") for service in ("imap", "pop3")]
    world.topics.publish(*events)
    world.write(*events)
    world.commit()
    planted = lose_rows(world.layout, world.mapping, missing="a", older="b")

    assert planted == details(world.found(1)) == [("missing", "a", "imap"), ("older", "b", "imap")]
    world.write(*events)
    assert world.found(0)["rows"]["right"] == 6


def test_holes(world: Audited) -> None:
    """A number that is on no topic is a hole; one that is only in the quarantine, or damaged, is none."""
    for name in ("a", "b", "c"):
        world.topics.publish(world.login(name))
    world.quarantined(WRITE._replace(epoch=1, sequence=world.number()))
    value, headers = message(world.login("damaged"))
    world.topics.publish_raw(value[:-1], headers)
    lost = world.number()
    world.topics.publish(world.login("d"))

    world.topics.reset(world.group)
    found = world.found(1)

    assert found["sequences"]["holes"] == [{"producer": "mail1", "epoch": 1, "first": lost, "last": lost}]
    assert found["wrong"] == 1
    assert f"  WRONG    mail1, epoch 1: {lost}\n" in world.run().out


def test_records_that_cannot_be_read(world: Audited) -> None:
    """A damaged batch does not end an audit: its records are told, with their numbers, and all others are judged."""
    batches = [[world.login(f"{name}{number}") for number in range(5)] for name in ("before", "damaged", "behind")]
    for batch in batches:
        world.topics.publish(*batch, partition=1)
        world.write(*batch)
    world.commit()
    flip_bit(world.layout, world.topics.events, 1, b"damaged2")

    found = world.found(1)

    places = [f"{world.topics.events} 1:{offset}" for offset in range(5, 10)]
    assert found["unreadable"] == {"records": 5, "places": places}
    assert found["sequences"]["holes"] == [{"producer": "mail1", "epoch": 1, "first": 6, "last": 10}]
    assert (found["rows"]["right"], found["events"]["records"], found["details"]) == (10, 10, [])
    assert found["wrong"] == 10
    assert f"  WRONG    5 cannot be read: {places[0]}, " in world.run().out


def test_not_due(world: Audited) -> None:
    """What the group has not committed may be in the table or not; what it has committed must be."""
    first, second = world.login("both"), world.login("both", 1_000)
    world.topics.publish(first, world.login("missing"))
    world.write(first)
    world.commit()
    world.topics.publish(second, world.login("new"), world.login("missing", 1_000))

    found = world.found(1)

    assert details(found) == [("missing", "missing", "imap")]
    assert (found["rows"]["pending"], found["events"]["pending"]) == (2, 3)


def test_passed_without_a_dead_letter(world: Audited) -> None:
    """A record that is no login and was committed must be among the dead letters."""
    value, headers = message(world.login("damaged"))
    world.topics.publish_raw(value[:-1], headers, partition=1)
    world.topics.flush()
    world.commit()

    found = world.found(1)

    assert (found["events"]["not_set_aside"], found["events"]["places"]) == (1, ["1:0"])


def test_dead_letters_that_became_rows(world: Audited) -> None:
    """A login that is among the dead letters may have no row, or have it since the topic was read again."""
    refused, written = world.login("refused"), world.login("written")
    world.topics.publish(refused, written, partition=0)
    for offset in (0, 1):
        world.letter(partition=0, offset=offset)
    world.write(written)
    world.commit()

    found = world.found(0)

    assert (found["rows"]["pending"], found["dead_letters"]) == (2, 2)


def test_what_retention_took(world: Audited) -> None:
    """Numbers and rows of records that were deleted by age are not wrong; they cannot be verified."""
    gone = [world.login(f"gone{number}") for number in range(5)]
    world.topics.publish(*gone, partition=0)
    time.sleep(0.01)
    kept = [world.login(f"kept{number}") for number in range(5)]
    world.topics.publish(*kept, partition=0)
    world.write(*gone, *kept)
    world.commit()
    world.topics.delete_records(before=4)

    found = world.found(0)

    assert found["rows"]["right"] == 6
    assert found["rows"]["unverifiable"]["before_events"] == 4
    assert found["sequences"]["judged_from"] is not None


def test_rows_of_dovecot(world: Audited) -> None:
    """Rows that Dovecot itself wrote, with the time of the write, cannot be verified where they are newer."""
    ours = world.login("both")
    world.topics.publish(ours)
    world.write(ours)
    world.commit()
    table, at_ms = world.mapping.qualified_table, world.now_us // 1000
    for user, time_ms, written_us in (
        ("both", at_ms + 5_000, world.now_us + 6_000_000),
        ("only", at_ms + 400_000, world.now_us + 401_000_000),
        ("long ago", at_ms - 400_000, world.now_us - 399_000_000),
    ):
        world.session.execute(
            f"INSERT INTO {table} (user, last_login_imap) VALUES ('{user}', {time_ms}) USING TIMESTAMP {written_us}"
        )

    found = world.found(0)

    assert found["rows"]["unverifiable"] == {"newer": 1, "before_events": 1, "foreign": 1, "refused": 0}


def test_older_logins_of_those_who_were_refused(world: Audited) -> None:
    """They may never have been tried by themselves: without a row they cannot be verified. Newer ones must be there."""
    world.topics.publish(world.login("denied"), world.login("denied", 1_000), partition=0)
    world.topics.publish(world.login("later"), world.login("later", 1_000), partition=0)
    for offset in (1, 2):
        world.letter(partition=0, offset=offset, reason="refused")
    world.commit()

    found = world.found(1)

    assert found["rows"]["unverifiable"]["refused"] == 1
    assert details(found) == [("missing", "later", "imap")]


async def test_logins_while_it_runs(world: Audited) -> None:
    """What is published and written while the table is read is not wrong, and closes holes of late partitions."""
    first, late, last = world.login("first"), world.login("late"), world.login("last")
    world.topics.publish(first, last)
    world.write(first, last)
    world.commit()

    class Busy:
        """A table that is written while it is read."""

        mapping = TableMapping(services={"imap": ServiceColumns("last_login_imap", "remote_ip_imap")})

        def pages(self) -> Iterator[tuple[list[Any], int]]:
            world.topics.publish(late, world.login("first", 1_000))
            for event in (first._replace(login_at_us=first.login_at_us + 1_000), late, last):
                at_us = event.login_at_us
                yield [(event.user.encode(), 0, at_us // 1000, at_us, b"\xc0\x00\x02\x01", at_us)], 0

    report = Report(world.topics.events, world.group, ["imap"], keeps_cases=True)
    settings = OpsSettings(
        kafka={"bootstrap_servers": [world.topics.servers]},
        topics={
            "events": world.topics.events,
            "quarantine": world.quarantine,
            "dead_letters": world.topics.dead_letters,
        },
    )
    assert settings.kafka is not None
    now_ms = time.time_ns() // 1_000_000
    run = Audit(
        settings,
        settings.kafka,
        cast("Any", Busy()),
        report,
        lambda _name, _total: lambda _count: None,
        now_ms,
        now_ms,
    )
    with Facts() as facts:
        await run.run(facts)

    assert report.wrong == 0, report.text()
    assert report.verdicts == {Verdict.PENDING: 2, Verdict.RIGHT: 1}
    assert report.holes == []


def test_what_it_cannot_do_without(world: Audited, tmp_path: Path) -> None:
    """A group that has committed nothing, a missing topic and a missing table are a sentence and 78 each."""
    file = tmp_path / "audit.prom"
    assert 0 == world.run("--metrics-file", str(file)).code
    found = file.read_text("utf-8")
    world.topics.publish(world.login("a"))

    done = world.run()
    assert (done.code, done.out) == (78, "")
    nothing = f"the group {world.group} has committed nothing of {world.topics.events}: see --group and lag.group"
    assert done.err == f"lastlogin: {nothing}\n"
    world.commit()
    away = world.run("--metrics-file", str(file), KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (away.code, away.out) == (69, "")
    assert file.read_text("utf-8") == found.replace("exit_code 0.0", "exit_code 69.0") != found
    assert away.err.startswith("lastlogin: Kafka does not answer at 127.0.0.1:1: ")
    for variable, key in (
        ("TOPICS__EVENTS", "topics.events"),
        ("TOPICS__QUARANTINE", "topics.quarantine"),
        ("TOPICS__DEAD_LETTERS", "topics.dead_letters"),
        ("CASSANDRA__TABLE", "cassandra.table"),
    ):
        done = world.run(**{variable: "no_such"})
        assert (done.code, done.out) == (78, "")
        assert key in done.err
        assert 1 == done.err.count("\n")


def test_progress_on_a_terminal(world: Audited) -> None:
    """People see how far it is, on standard error; the report stays clean for a pipe."""
    event = world.login("a")
    world.topics.publish(event)
    world.write(event)
    world.commit()
    ours, its = pty.openpty()
    settings = world.variables | {
        "KAFKA__BOOTSTRAP_SERVERS": world.layout.kafka_bootstrap,
        "CASSANDRA__CONTACT_POINTS": world.layout.cassandra_address,
        "CASSANDRA__PORT": str(world.layout.cassandra_port),
        "LAG__GROUP": world.group,
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("lastlogin"), "audit"],
        env=os.environ | {f"LASTLOGIN_{name}": value for name, value in settings.items()},
        stdout=subprocess.PIPE,
        stderr=its,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(its)

    assert done.returncode == 0
    assert done.stdout.startswith("events     1 record of ")
    assert b"table" in os.read(ours, 65_536)
    os.close(ours)
