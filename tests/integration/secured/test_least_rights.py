"""Each program, with exactly the rights that the documentation names for it."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cassandra.protocol import ConfigurationException
from confluent_kafka import Consumer, Message, Producer

from lastlogin_schemas.topics import DEAD_LETTERS, EVENTS, QUARANTINE
from lastlogin_stack.readback import StatsTable
from tests.integration.secured.conftest import (
    ADMIN,
    CARE,
    CONSUMER,
    OPS,
    PASSWORD,
    PRODUCER,
    SUBSCRIBER,
    Secured,
    make_role,
)
from tests.support.command import ok
from tests.support.dict_client import write
from tests.support.process import ServiceProcess, wait_until
from tests.support.producer import ProducerProcess
from tests.support.secured_cassandra import ADMIN as CASSANDRA_ADMIN
from tests.support.secured_kafka import Right


USER = "least@example.org"
# Who is given what one command needs.
TOOLS = "tools"
GROUP = "lastlogin-consumer"


@pytest.fixture
def tools(secured: Secured) -> Iterator[str]:
    """A user without rights; those that the test gives it are taken back."""
    secured.kafka.set_password(TOOLS, PASSWORD)
    yield TOOLS
    secured.kafka.forbid(TOOLS)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the producer keeps its spool and socket."""
    return tmp_path_factory.mktemp("least")


@pytest.fixture(scope="module")
def recorded(secured: Secured, directory: Path) -> str:
    """A login that came through both services, a quarantined write and a dead letter; what the services printed."""
    producer = ProducerProcess(directory, **secured.to_kafka(PRODUCER, SASL_MECHANISM="SCRAM-SHA-256"))
    settings = secured.to_kafka(CONSUMER) | secured.to_cassandra("lastlogin_consumer")
    own = {"METRICS__PORT": "0", "LOG__FORMAT": "json"}
    consumer = ServiceProcess(CONSUMER, directory / "consumer.log", settings | own)
    with producer, consumer, StatsTable(secured.cassandra.layout, login=CASSANDRA_ADMIN) as table:
        producer.serve()
        for key in ("last-login/imap", "other/imap"):
            assert b"O1\n" == write(producer.socket, USER, f"shared/{key}/{USER}", str(time.time_ns() // 1_000_000))
        garbage = Producer({"bootstrap.servers": secured.kafka.plain})
        garbage.produce(EVENTS, b"no event", b"x")
        assert 0 == garbage.flush(20)
        consumer.wait_until(lambda: "imap" in table.row(USER), 60)
        consumer.wait_for("dead_lettered", deadline_s=60)
        for process in (producer, consumer):
            about = Path(f"/proc/{process.pid}")
            assert PASSWORD.encode() not in (about / "cmdline").read_bytes() + (about / "environ").read_bytes()
        said = producer.output() + consumer.output()
        assert [[], []] == [producer.said("topic_settings"), consumer.said("topic_unchecked")]
        assert (0, 0) == (producer.stop(), consumer.stop())
        return said


def test_services(secured: Secured, recorded: str, directory: Path) -> None:
    """They need nothing beyond README.md, and neither log, print nor show a password."""
    assert PASSWORD not in recorded
    own = {"METRICS__PORT": "0", "SPOOL__DIRECTORY": str(directory / "spool")}
    producer = secured.to_kafka(PRODUCER) | own | {"SOCKET__PATH": str(directory / "dict.sock")}
    consumer = secured.to_kafka(CONSUMER) | secured.to_cassandra("lastlogin_consumer") | {"METRICS__PORT": "0"}
    for script, settings in ((PRODUCER, producer), (CONSUMER, consumer)):
        ended = secured.run(script, "--check-config", **settings)
        assert (0, ok(script), "") == (ended.code, ended.out, ended.err)
        assert 0 == secured.run(script, "--print-config", **settings).code


def test_commands(secured: Secured, recorded: str, directory: Path) -> None:
    """What people ask, as the user and the role that README.md makes for them."""
    assert recorded
    settings = secured.to_kafka(ADMIN) | secured.to_cassandra(CARE)
    single = {"TOPICS__REPLICATION_FACTOR": "1", "TOPICS__MIN_INSYNC_REPLICAS": "1", "TOPICS__PARTITIONS": "2"}
    commands = {
        "show": ("show", USER),
        "audit": ("audit",),
        "list": ("quarantine", "list"),
        "topics": ("topics", "plan"),
        "schema": ("schema", "plan"),
    }
    with ThreadPoolExecutor(3) as pool:
        running = {
            name: pool.submit(secured.run, OPS, *command, **settings, **single) for name, command in commands.items()
        }
        tail = pool.submit(tails, secured, ADMIN, directory)
    ended = {name: each.result() for name, each in running.items()}
    assert dict.fromkeys(commands, 0) == {name: each.code for name, each in ended.items()}, ended
    assert "The table is up to date" in ended["show"].out
    assert "bad_key" in ended["list"].out
    assert 0 == tail.result()


def tails(secured: Secured, user: str, directory: Path) -> int:
    """Wait until `lastlogin tail` has shown the login; return what it ends with."""
    log = directory / f"tail-{user}.log"
    with ServiceProcess(OPS, log, secured.to_kafka(user), ("tail", "--since", "1h", "--json")) as tail:
        tail.wait_until(lambda: USER in tail.output())
        tail.signal(signal.SIGINT)
        return tail.wait()


def test_who_only_looks(secured: Secured, recorded: str, tools: str, directory: Path) -> None:
    """Read on the events and Describe on the group are enough for `show`, Read on the events for `tail`."""
    assert recorded
    secured.kafka.allow(tools, [Right("READ", "topic", EVENTS)])
    assert 0 == tails(secured, tools, directory)
    secured.kafka.allow(tools, [Right("DESCRIBE", "group", GROUP)])
    ended = secured.run(OPS, "show", USER, **secured.to_kafka(tools), **secured.to_cassandra(CARE))
    assert "The table is up to date" in ended.out


def test_a_replay(secured: Secured, recorded: str, tools: str, tmp_path: Path) -> None:
    """Describe and Read on the quarantine, Describe and Write on the events."""
    assert recorded
    secured.kafka.allow(tools, [Right("READ", "topic", QUARANTINE), Right("WRITE", "topic", EVENTS)])
    file = tmp_path / "producer.toml"
    file.write_text('[kafka]\nbootstrap_servers = ["k:1"]\n[dicts.statsdb]\nkey_patterns = ["other/$service/$user"]\n')
    replay = ("quarantine", "replay", "--reason", "bad_key", "--producer-config", str(file), "--yes")
    ended = secured.run(OPS, *replay, **secured.to_kafka(tools))
    assert 0 == ended.code, ended.err


def test_dead_letters(secured: Secured, recorded: str, tools: str) -> None:
    """Describe and Read on them to look and to choose, Delete to drop."""
    assert recorded
    secured.kafka.allow(tools, [Right("READ", "topic", DEAD_LETTERS), Right("WRITE", "topic", EVENTS)])
    settings = secured.to_kafka(tools)
    listed, replayed = (secured.run(OPS, "dlq", *each, **settings) for each in (("list",), ("replay", "--yes")))
    assert (0, 1) == (listed.code, replayed.code), listed.err + replayed.err
    assert "unknown_framing" in listed.out
    assert "unknown_framing" in replayed.out
    drop = ("dlq", "drop", "--before", "0:1", "--yes")
    assert "Delete" in secured.run(OPS, *drop, **settings).err
    secured.kafka.allow(tools, [Right("DELETE", "topic", DEAD_LETTERS)])
    assert 0 == secured.run(OPS, *drop, **settings).code


def test_replay_and_skip(secured: Secured, recorded: str) -> None:
    """What the consumer itself may do is enough for both, also for the dead letter of what is skipped."""
    assert recorded
    consumer = secured.to_kafka(CONSUMER) | secured.to_cassandra("lastlogin_consumer")
    replayed = secured.run(CONSUMER, "replay", "--since", "1h", **consumer)
    assert 0 == replayed.code, replayed.err
    published: list[Message] = []
    garbage = Producer({"bootstrap.servers": secured.kafka.plain})
    garbage.produce(EVENTS, b"no event", b"y", callback=lambda _, message: published.append(message))
    assert 0 == garbage.flush(20)
    place = ("--partition", str(published[0].partition()), "--to", str((published[0].offset() or 0) + 1))
    skipped = secured.run(CONSUMER, "skip", "--topic", EVENTS, *place, "--yes", **consumer)
    assert 0 == skipped.code, skipped.err
    assert "1 set aside), 0 given up" in skipped.out


def test_subscribers(secured: Secured, recorded: str) -> None:
    """The example of the documentation, with Read on the topic and on its group."""
    assert recorded
    reader = Consumer(
        {
            "bootstrap.servers": secured.kafka.tls("SECURE"),
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(secured.kafka.certificates / "authority.pem"),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": SUBSCRIBER,
            "sasl.password": PASSWORD,
            "group.id": SUBSCRIBER,
            "auto.offset.reset": "earliest",
        }
    )
    reader.subscribe([EVENTS])
    try:
        keys: list[bytes | None] = []
        wait_until(lambda: keys.extend(record.key() for record in reader.consume(10, 1)) or USER.encode() in keys)
    finally:
        reader.close()


def test_the_table_is_made(secured: Secured) -> None:
    """CREATE and ALTER on all keyspaces make keyspace and table, names in capitals; Cassandra has no others than we."""
    role = "lastlogin_schema"
    make_role(secured.cassandra, role, PASSWORD)
    for right in ("CREATE", "ALTER"):
        secured.cassandra.execute(f"GRANT {right} ON ALL KEYSPACES TO {role}")
    named = {"CASSANDRA__KEYSPACE": "LastLogin", "CASSANDRA__TABLE": "UserLogins"}
    settings = secured.to_cassandra(role) | named
    for code, command in ((1, "plan"), (0, "apply"), (0, "plan")):
        ended = secured.run(OPS, "schema", command, **settings)
        assert code == ended.code, ended.err
    with pytest.raises(ConfigurationException, match="Weird Name"):
        secured.cassandra.execute('CREATE TABLE "LastLogin"."Weird Name" (user text PRIMARY KEY)')
