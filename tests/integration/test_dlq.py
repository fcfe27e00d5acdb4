"""`lastlogin dlq` between a real Kafka and a real Cassandra, with dead letters of a real consumer."""

import json
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lastlogin_schemas.framing import prefix
from lastlogin_schemas.partitioner import partition_of
from lastlogin_schemas.schema import LOGIN_EVENT
from tests.support.audited import Audited
from tests.support.command import Ended, lastlogin
from tests.support.consumer import ConsumerProcess, with_constants
from tests.support.logins import message
from tests.support.process import wait_until
from tests.support.publisher import OutTopics


# What the operator has mended: a registry id is known, a service has its column.
CONSUMER = {"SCHEMA_IDS": '{"7": 1}', "COLUMNS__SERVICES": "imap,pop3,webmail,lmtp,sieve"}
COMMAND = {"TAIL__SCHEMA_IDS": '{"7": 1}', "COLUMNS__SERVICES": "imap,pop3,webmail,lmtp,sieve"}


def consume(world: Audited, directory: Path, **settings: str) -> ConsumerProcess:
    """A consumer that has come to the end of the topic; with a rest of 2 s where most records are bad."""
    own = {"CASSANDRA__TABLE": world.table.name, "UNMAPPED": "dead_letter", "FUTURE_LIMIT_S": "1"}
    consumer = with_constants(
        ConsumerProcess(world.layout, world.topics, directory, **own | settings),
        {"lastlogin_consumer.breaker:_REST_S": 2},
    )
    with consumer:
        consumer.wait_for("assigned")
        wait_until(lambda: world.topics.lag(consumer.group) == 0, 60)
        assert 0 == consumer.stop()
    return consumer


def dlq(world: Audited, *arguments: str, **variables: str) -> Ended:
    """Run `lastlogin dlq`."""
    return lastlogin(world.layout, "dlq", *arguments, **world.variables | variables)


def test_from_the_dead_letters_to_the_rows(world: Audited, tmp_path: Path) -> None:
    """Case 39: a bad deployment fills the dead letters; each is counted, and what was mended since becomes its row.

    What still is no login stays where it is, and the audit finds nothing wrong, until dead letters are dropped.
    """
    pinned = [world.login(f"pinned{number}@example.org") for number in range(300)]
    for event in pinned:
        value, headers = message(event)
        world.topics.publish_raw(prefix(LOGIN_EVENT, 7) + value[10:], headers, key=event.user.encode())
    sieve = world.login("sieve@example.org", service="sieve")
    soon, late = (
        world.login(f"future{number}@example.org")._replace(login_at_us=time.time_ns() // 1000 + number * 1_000_000)
        for number in (8, 3_600)
    )
    world.topics.publish(sieve, soon, late)
    world.topics.publish_raw(b"not an event", key=b"garbage@example.org")
    world.topics.flush()
    assert consume(world, tmp_path).said("breaker_open")

    _list(world)
    dry = dlq(world, "replay")
    unknown = "schema id 7 is not among the configured ones"
    no_event = "1 still does not fit, unknown_framing: the value starts with 6e6f"
    no_column = "1 still does not fit, unmapped: [columns] of this configuration has no service sieve"
    left_out = "2 are left out, for the mail host's clock was wrong: --reason future takes them"
    assert (dry.code, dry.err) == (1, "")
    assert sorted(dry.out.splitlines()) == [
        f"future: 2 records; 0 would be published; {left_out}",
        f"unknown_framing: 1 record; 0 would be published; {no_event}",
        f"unknown_schema: 300 records; 0 would be published; 300 still do not fit, unknown_schema: {unknown}",
        f"unmapped: 1 record; 0 would be published; {no_column}",
    ]
    assert 0 == world.topics.lag(world.group)

    world.table.alter("ADD (last_login_sieve timestamp, remote_ip_sieve inet)")
    with ThreadPoolExecutor(2) as operators:
        both = list(operators.map(lambda _: dlq(world, "replay", "--yes", "--json", **COMMAND), range(2)))
    for done in both:
        told, audit = json.loads(done.out), json.loads(done.err)
        assert (done.code, told["published"], told["logins"], told["unfit"]) == (1, True, 301, 1)
        assert (audit["action"], audit["records"], audit["published"]) == ("set_aside_replayed", 304, 301)
        assert "@example.org" not in done.out + done.err
    assert 2 * 301 == world.topics.lag(world.group)
    wait_until(lambda: time.time_ns() // 1000 > soon.login_at_us)
    future = dlq(world, "replay", "--reason", "future", "--yes", **COMMAND)
    assert future.code == 1
    assert future.out.startswith(
        "future: 2 records; 1 published; 1 still does not fit, future: the time of the login has not come yet\n"
        "The consumer takes a login of the reason future once its time has come. It is a wrong time"
    )
    consume(world, tmp_path, **CONSUMER)

    # Nothing was set aside again.
    assert len(world.topics.letters()) == 304
    cells = world.table.cells()
    for event in (*pinned, soon):
        assert cells[event.user, "imap"].time_written_us == event.login_at_us
    assert (late.user, "imap") not in cells
    select = f"SELECT WRITETIME(last_login_sieve) FROM {world.mapping.qualified_table} WHERE user = 'sieve@example.org'"
    assert sieve.login_at_us == world.session.execute(select).one()[0]
    found = json.loads(world.run("--json", **COMMAND).out)
    assert (found["wrong"], found["dead_letters"], found["events"]["records"]) == (0, 304, 304 + 602 + 1)

    _drop(world)


def _list(world: Audited) -> None:
    """Counted by reason, chosen, without users; and one of them whole."""
    counted = {"unknown_schema": 300, "future": 2, "unmapped": 1, "unknown_framing": 1}
    *listed, summary = map(json.loads, dlq(world, "list", "--json").out.splitlines())
    assert summary == {"records": 304, "shown": 304, "reasons": counted}
    [of] = [each["of"] for each in listed if each["reason"] == "unknown_framing"]
    text = dlq(world, "list", "--reason", "future", "--backend", "mail1", "--since", "1h").out
    assert text.splitlines()[2:] == ["2 records:", "        2  future"]
    assert "s ahead of Kafka's append time" in text
    assert "@example.org" not in text + json.dumps(listed)
    whose = dlq(world, "list", "--user", "garbage@example.org").out.splitlines()
    assert whose[1:] == ["1 record:", "        1  unknown_framing"]
    [place] = [f"0:{each['offset']}" for each in listed if each["of"] == of]
    shown = dlq(world, "show", place).out
    for told in (
        f"of        {of['partition']}:{of['offset']} of ",
        "key       garbage@example",
        "value     not an event",
    ):
        assert told in shown


def _drop(world: Audited) -> None:
    """Of 304 dead letters, with one more while an operator thinks about it."""
    dry = dlq(world, "drop", "--all")
    world.letter(partition=0, offset=0)
    first, *reasons, nothing, command = dry.out.splitlines()
    assert (dry.code, dry.err, len(reasons)) == (0, "", 4)
    assert first.startswith("304 records would be dropped, of 20")
    assert (nothing, command.strip()) == (
        "Nothing was dropped; this drops exactly these:",
        "lastlogin dlq drop --before 0:304 --yes",
    )
    arguments = shlex.split(command)[1:]
    done, again = (lastlogin(world.layout, *arguments, **world.variables) for _ in range(2))

    assert (done.code, done.out.splitlines()[1:]) == (0, reasons)
    assert done.out.startswith("304 records dropped, of 20")
    audit = json.loads(done.err)
    assert (audit["action"], audit["records"], audit["before"]) == ("set_aside_dropped", 304, ["0:304"])
    assert audit["reasons"][0] == "unknown_schema=300"
    assert again == Ended(0, "Already dropped, or past their retention: nothing is left there.\n", "")
    left = dlq(world, "list").out
    assert left.startswith("0:304 ")
    assert left.endswith("1 record:\n        1  foreign\n")
    nothing = "Nothing to replay. No record in the dead-letter topic is as asked for.\n"
    assert dlq(world, "replay", "--reason", "future") == Ended(0, nothing, "")
    # What has no row now looks like a loss: the record that is no login, and the login whose time has not come.
    found = json.loads(world.run("--json", **COMMAND).out)
    assert (found["wrong"], found["events"]["not_set_aside"], found["rows"]["wrong"]["missing"]) == (2, 1, 1)


def test_where_its_records_go(world: Audited) -> None:
    """A replay publishes the very bytes, where their key goes, without the headers of the dead letter."""
    event = world.login("test1@example.org")
    value, headers = message(event)
    story = {"reason": "refused", "topic": world.topics.events, "partition": "2", "offset": "7", "error": "denied"}
    world.set_aside(event.user.encode(), value, [*headers, *((name, text.encode()) for name, text in story.items())])

    done = dlq(world, "replay", "0:0", "--yes")

    assert (done.code, done.out) == (0, "refused: 1 record; 1 published\n")
    [record] = OutTopics([world.topics.servers]).records(world.topics.events)
    assert (record.key, record.value, record.headers) == (b"test1@example.org", value, dict(headers))
    assert record.partition == partition_of(record.key, 3)


def test_places_and_topics_that_are_not_there(world: Audited) -> None:
    """A place beyond the end is neither shown nor dropped: a sentence and 1. Missing topics: a sentence and 78."""
    nothing = "lastlogin: there is no record 0:0 any more, or yet: the partition is empty\n"
    assert dlq(world, "show", "0:0") == Ended(1, "", nothing)
    world.letter(partition=0, offset=0)

    for place, has in (("0:2", "the partition ends before 1"), ("7:0", "there is no such partition")):
        done = dlq(world, "drop", "--before", place, "--yes")
        assert done == Ended(1, "", f"lastlogin: nothing can be dropped before {place}: {has}\n")
    old = json.loads(dlq(world, "drop", "--older-than", "1h", "--json").out)
    assert (old["records"], old["before"], old["command"], old["dropped"]) == (0, [], None, False)
    missing = "lastlogin: Kafka has no topic no-such-topic, or the user in [kafka] may not see it; see topics."
    for arguments in (("replay", "--yes"), ("drop", "--all")):
        assert dlq(world, *arguments, TOPICS__DEAD_LETTERS="no-such-topic") == Ended(78, "", f"{missing}dead_letters\n")
