"""`lastlogin quarantine` on a real Kafka, with records as the real publisher makes them."""

import json
import os
import pty
import pwd
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from lastlogin_schemas.codec import decode_login_event
from lastlogin_schemas.framing import prefix
from lastlogin_schemas.partitioner import partition_of
from lastlogin_schemas.schema import LOGIN_EVENT
from lastlogin_stack.commands import wipe
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.aside import DICT, MEASURING, MENDED, WRITE, Aside, published, write
from tests.support.command import Ended, lastlogin
from tests.support.consumer import ConsumerProcess
from tests.support.dict_client import write as write_dict
from tests.support.logins import AT_US, LOGIN, message
from tests.support.producer import ProducerProcess
from tests.support.publisher import made_topics, publishing, waiting
from tests.support.spool import append
from tests.support.topics import own_topics


@pytest.fixture
def aside(stack: Layout, tmp_path: Path) -> Iterator[Aside]:
    """Empty topics, and a producer's configuration with mended patterns."""
    file = tmp_path / "producer.toml"
    file.write_text(MENDED)
    with made_topics(stack) as topics:
        yield Aside(stack, topics, file)


def test_from_the_socket_to_the_row(stack: Layout, tmp_path: Path) -> None:
    """A login that a real producer could not understand becomes its row by a replay, twice as well as once."""
    file = tmp_path / "producer.toml"
    file.write_text(MENDED)
    with own_topics(stack, 2) as topics, StatsTable(stack) as table:
        quarantine, user = f"{topics.events}-quarantine", topics.events
        topics.create(quarantine, 1)
        names = {
            "TOPICS__EVENTS": topics.events,
            "TOPICS__QUARANTINE": quarantine,
            "TOPICS__DEAD_LETTERS": topics.dead_letters,
        }
        at_ms = time.time_ns() // 1_000_000
        with ProducerProcess(tmp_path, KAFKA__BOOTSTRAP_SERVERS=stack.kafka_bootstrap, **names) as producer:
            producer.serve()
            assert b"O1\n" == write_dict(producer.socket, user, f"shared/seen/imap/{user}/192.0.2.1", str(at_ms))
            assert 0 == producer.stop()
        replay = ("quarantine", "replay", "--producer-config", str(file), "--yes")
        with ConsumerProcess(stack, topics, tmp_path) as consumer:
            rows = []
            for _ in range(2):
                done = lastlogin(stack, *replay, **names)
                assert (0, "bad_key: 1 record; 1 published\n") == (done.code, done.out)
                consumer.wait_until(lambda: topics.lag(consumer.group) == 0)
                rows.append(table.wait_for(user, lambda row: "imap" in row, 60)["imap"])
            assert 0 == consumer.stop()

        assert rows[0] == rows[1]
        assert (at_ms * 1000, "192.0.2.1") == (rows[0].time_written_us, rows[0].address)


async def test_what_the_real_publisher_wrote(aside: Aside, tmp_path: Path) -> None:
    """Records that went through the real spool are listed without their users, and shown whole."""
    async with publishing(tmp_path / "spool", aside.topics) as (spool, _):
        await append(spool, WRITE._replace(epoch=0, sequence=0), write(reason="bad_value", epoch=0, sequence=0))
        await waiting(spool, 0)
        epoch = spool.epoch

    listed, shown = aside.run("list"), aside.run("show", "0:1")

    assert (listed.code, listed.err) == (shown.code, shown.err) == (0, "")
    assert [each.split()[0] for each in listed.out.splitlines()[:2]] == ["0:0", "0:1"]
    assert "bad_value" in listed.out.splitlines()[1]
    assert listed.out.splitlines()[2:] == ["2 records:", "        1  bad_key", "        1  bad_value"]
    assert "test1" not in listed.out
    for told in ("user      test1", "checksum  good", f"origin    mail1/{epoch}/2", "value     1700000000161"):
        assert told in shown.out


def test_records_that_are_no_writes(aside: Aside) -> None:
    """A damaged record, an event, a foreign message and a null are listed as undecodable, and are never replayed."""
    key, value, headers = published(WRITE)
    damaged = value.replace(b"bad_key", b"bad_kez")
    event, event_headers = message(LOGIN)
    aside.publish(
        (key, damaged, headers),
        (b"k", event, event_headers),
        (None, b"{}", ()),
        (b"k", None, ()),
        (key, value, headers),
    )

    listed = [json.loads(each) for each in aside.run("list", "--json").out.splitlines()]
    reasons = ["checksum_mismatch", "unknown_schema", "unknown_framing", "null_value"]
    assert reasons == [each["undecodable"] for each in listed[:4]]
    assert listed[5] == {"records": 5, "shown": 5, "reasons": {"undecodable": 4, "bad_key": 1}}
    assert "checksum  wrong" in aside.run("show", "0:0").out

    done = aside.replay("--yes")
    assert done.code == 1
    assert "undecodable: 4 records; 0 published; 1 still does not fit, checksum_mismatch: " in done.out
    assert 1 == len(aside.topics.records(aside.topics.events))


def test_filters(aside: Aside) -> None:
    """`--since`, `--backend` and `--reason` choose for list and replay alike; places choose for replay."""
    aside.publish(published(WRITE))
    time.sleep(0.01)
    since = datetime.now(UTC).isoformat()
    aside.publish(
        published(write(backend="mail2")),
        published(write(reason="bad_value", sequence=5)),
        published(WRITE._replace(sequence=6)),
    )

    for arguments, places in (
        (("--since", since), ["0:1", "0:2", "0:3"]),
        (("--backend", "mail1"), ["0:0", "0:2", "0:3"]),
        (("--reason", "bad_key", "--backend", "mail1", "--since", since), ["0:3"]),
        (("--reason", "no_such"), []),
    ):
        lines = aside.run("list", *arguments).out.splitlines()
        assert places == [each.split()[0] for each in lines if each.startswith("0:")]
        told = aside.replay(*arguments)
        assert told.code == 0
        assert len(places) == sum(map(int, re.findall(r"(\d+) would be published", told.out)))
    whose = aside.run("list", "--user", "test1", "--backend", "mail2").out.splitlines()
    assert ["0:1", "1 record:"] == [whose[0].split()[0], whose[1]]
    assert "No record in the quarantine is as asked for.\n" == aside.run("list", "--user", "test").out
    assert "2 would be published" in aside.replay("0:1", "0:3", "0:1").out
    assert [] == aside.topics.records(aside.topics.events)


def test_more_than_the_limit(aside: Aside) -> None:
    """Of a topic larger than the limit the newest lines are shown, and all are counted."""
    aside.publish(*(published(write(sequence=number)) for number in range(20_000)))

    done = aside.run("list", "--limit", "3")

    assert done.code == 0
    lines = done.out.splitlines()
    assert ["0:19997", "0:19998", "0:19999"] == [each.split()[0] for each in lines[:3]]
    assert lines[3:] == ["20,000 records, the newest 3 of them above:", "   20,000  bad_key"]


def test_bounded_memory(aside: Aside) -> None:
    """A topic of 200 MB is listed, and replayed without --yes, in less than 150 MB."""
    large = published(write(value=b"x" * 100_000, reason="bad_value"))
    aside.publish(*[large] * 2_000)

    for arguments in (["list"], ["replay", "--producer-config", str(aside.file)]):
        process = aside.start(*arguments, through=[sys.executable, "-c", MEASURING])
        out, _ = process.communicate(timeout=60)
        assert "2,000" in out
        assert int(out.split()[-1]) * 1024 < 150_000_000, out.split()[-1]


def test_dry_run_first(aside: Aside) -> None:
    """Without --yes it tells what would happen, and neither writes nor logs anything."""
    aside.publish(published(WRITE), published(write(value=b"never")))

    done = aside.replay()

    assert done == Ended(
        1,
        "bad_key: 2 records; 1 would be published; "
        "1 still does not fit, bad_value: the value is not 10, 13, 16 or 19 digits\n"
        "Nothing was published; --yes does it.\n",
        "",
    )
    assert [] == aside.topics.records(aside.topics.events)


def test_replay_twice_is_harmless(aside: Aside) -> None:
    """Each replay publishes the very same records, where their users are; an audit line says who did it."""
    users = [b"test%d" % number for number in range(8)]
    aside.publish(*(published(write(user=user, key=b"shared/seen/pop3/%s/192.0.2.2" % user)) for user in users))

    first, second = aside.replay("--yes"), aside.replay("--yes", "--reason", "bad_key")

    assert (first.code, first.out) == (second.code, second.out) == (0, "bad_key: 8 records; 8 published\n")
    records = aside.topics.records(aside.topics.events)
    assert len(records) == 16
    assert len({(each.partition, each.key, each.value) for each in records}) == 8
    assert {each.partition for each in records} == {0, 1, 2}
    for each in records:
        event = decode_login_event(each.value.removeprefix(prefix(LOGIN_EVENT)), LOGIN_EVENT)
        assert each.partition == partition_of(each.key, 3)
        assert (event.login_at_us, event.user.encode()) == (AT_US, each.key)
        assert each.headers["origin"] == b"mail1/17/4"
    audit = json.loads(first.err)
    assert "test" not in first.err
    assert (audit["action"], audit["records"], audit["published"]) == ("set_aside_replayed", 8, 8)
    assert audit["by"].startswith(pwd.getpwuid(os.getuid()).pw_name)


def test_registry_ids(aside: Aside) -> None:
    """Writes in Confluent's framing are read by `[quarantine] schema_ids`; events go out by the producer's ids."""
    key, value, headers = published(WRITE)
    aside.publish((key, b"\x00\x00\x00\x00\x08" + value[10:], headers))
    aside.file.write_text(MENDED + "[publisher]\nschema_ids = { LoginEvent = 7, RawWrite = 8 }\n")
    ids = {"QUARANTINE__SCHEMA_IDS": '{"8": 1}'}

    assert "undecodable" in aside.run("list").out
    assert "bad_key" in aside.run("list", **ids).out
    assert 0 == aside.run("replay", "--producer-config", str(aside.file), "--yes", **ids).code
    [event] = aside.topics.records(aside.topics.events)
    assert event.value.startswith(b"\x00\x00\x00\x00\x07")


def test_bad_file(aside: Aside) -> None:
    """A producer's configuration with a mistake is refused with 78 before anything is read."""
    aside.publish(published(WRITE))
    aside.file.write_text(f'{DICT}\nkey_patterns = ["seen/$service"]\n')

    done = aside.replay("--yes")

    assert (done.code, done.out) == (78, "")
    assert done.err.startswith(f"lastlogin: {aside.file}: dicts.")
    assert 2 == aside.run("replay").code
    assert 2 == aside.replay("--since", "1h", "0:0").code
    assert [] == aside.topics.records(aside.topics.events)


def test_no_such_record(aside: Aside) -> None:
    """A place that has no record is one sentence and 1, for show and replay."""
    aside.publish(published(WRITE))

    for arguments in (("show", "0:1"), ("show", "7:0"), ("replay", "0:1", "--producer-config", str(aside.file))):
        done = aside.run(*arguments)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("lastlogin: there is no record ")
        assert done.err.count("\n") == 1


def test_no_such_topic(aside: Aside) -> None:
    """A topic that is not there is one sentence and 78, and is not made by asking; so for the one that is written."""
    missing = "lastlogin: Kafka has no topic no-such-topic, or the user in [kafka] may not see it; see topics."

    for arguments in (("list",), ("show", "0:0")):
        assert aside.run(*arguments, TOPICS__QUARANTINE="no-such-topic") == Ended(78, "", f"{missing}quarantine\n")
    replay = ("replay", "--producer-config", str(aside.file), "--yes")
    assert aside.run(*replay, TOPICS__EVENTS="no-such-topic") == Ended(78, "", f"{missing}events\n")
    again = aside.run("list", TOPICS__QUARANTINE="no-such-topic")
    assert 78 == again.code


def test_ctrl_c(aside: Aside) -> None:
    """Ctrl-C in the middle ends with 130 and without a traceback; what was published by then is told to the log."""
    aside.publish(*(published(write(sequence=number)) for number in range(30_000)))
    process = aside.start("replay", "--producer-config", str(aside.file), "--yes")
    # Two pieces of 500 and the beginning of a third: at least two are counted by then.
    while len(aside.topics.records(aside.topics.events)) <= 1_000:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (130, "")
    audit = json.loads(err)
    assert 1_000 <= audit["published"] <= len(aside.topics.records(aside.topics.events))
    assert audit["published"] < 60_000


def test_progress_on_a_terminal(aside: Aside) -> None:
    """People see how far it is, on standard error; the output itself stays clean for a pipe."""
    aside.publish(published(WRITE))
    ours, its = pty.openpty()
    process = aside.start("replay", "--producer-config", str(aside.file), stderr=its)
    os.close(its)
    out, _ = process.communicate(timeout=30)

    assert out.startswith("bad_key: 1 record; 1 would be published\n")
    assert b"reading" in os.read(ours, 65_536)
    os.close(ours)


def test_kafka_goes_away(aside: Aside, kafka: Kafka) -> None:
    """A Kafka that goes away in the middle is a sentence and 69; the replay that follows makes it whole."""
    aside.publish(*(published(write(sequence=number)) for number in range(30_000)))
    # The shortest that a request may take: after so long a batch is given up.
    aside.environ["KAFKA__REQUEST_TIMEOUT_MS"] = "1000"
    process = aside.start("replay", "--producer-config", str(aside.file), "--yes")
    del aside.environ["KAFKA__REQUEST_TIMEOUT_MS"]
    while not aside.topics.records(aside.topics.events):
        assert process.poll() is None
    kafka.stop()
    out, err = process.communicate(timeout=90)
    kafka.start()
    kafka.wait_ready()

    assert (process.returncode, out) == (69, "")
    assert "lastlogin: " in err
    assert "Traceback" not in err
    assert 30_000 > json.loads(err.splitlines()[0])["published"]
    again = aside.replay("--yes")
    assert (0, "bad_key: 30,000 records; 30,000 published\n") == (again.code, again.out)
    values = {each.value for each in aside.topics.records(aside.topics.events)}
    assert len(values) == 30_000


@pytest.fixture
def guarded(stack: Layout) -> Iterator[Layout]:
    """A Kafka of this test's own that knows rights."""
    layout = replace(
        stack, directory=stack.directory.with_name(f"{stack.directory.name}-acl"), base_port=stack.base_port + 2
    )
    kafka = Kafka(
        layout,
        properties={
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
        },
    )
    try:
        kafka.start()
        kafka.wait_ready()
        yield layout
    finally:
        kafka.stop()
        wipe(layout)


def test_missing_rights(guarded: Layout, tmp_path: Path) -> None:
    """Without Read or Delete on the quarantine topic, or Write on that of events, it is one sentence and 78."""
    (tmp_path / "producer.toml").write_text(MENDED)
    admin = AdminClient({"bootstrap.servers": guarded.kafka_bootstrap, "log_level": 0})
    with made_topics(guarded) as topics:
        aside = Aside(guarded, topics, tmp_path / "producer.toml")
        aside.publish(published(WRITE))

        def only(topic: str, operation: AclOperation) -> None:
            """Allow this and nothing else that needs another right."""
            everybody = ("User:ANONYMOUS", "*", operation, AclPermissionType.ALLOW)
            binding = AclBinding(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, *everybody)
            for future in admin.create_acls([binding]).values():
                future.result(20)

        only(topics.events, AclOperation.DESCRIBE)
        no_write = aside.replay("--yes")
        dry = aside.replay()
        only(topics.quarantine, AclOperation.DESCRIBE)
        no_read = aside.run("list")
        only(topics.quarantine, AclOperation.READ)
        no_delete = aside.run("drop", "--before", "0:1", "--yes")
        left = aside.run("list")
        only(topics.events, AclOperation.DELETE)
        only(topics.quarantine, AclOperation.DELETE)

    for done in (no_write, no_read):
        assert (done.code, done.out) == (78, "")
        assert "lastlogin: the user in [kafka] has no right to do this: [Error 29] " in done.err
        assert "Traceback" not in done.err
    assert 0 == dry.code
    grant = (
        f"grant it with kafka-acls.sh --add --allow-principal User:... --operation Delete --topic {topics.quarantine}"
    )
    no_right = f"lastlogin: the user in [kafka] has no right to delete records of {topics.quarantine}: {grant}\n"
    assert (no_delete, left.out[:4]) == (Ended(78, "", no_right), "0:0 ")
