"""Each program, Kafka's own tools among them, with exactly the rights that the documentation names for it."""

import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cassandra.protocol import ConfigurationException
from confluent_kafka import Consumer, Producer

from lastlogin_schemas.topics import DEAD_LETTERS, EVENTS, QUARANTINE
from lastlogin_stack.jars import KAFKA_JARS, class_path
from lastlogin_stack.kafka import KAFKA_JVM
from lastlogin_stack.layout import PROJECT_ROOT
from lastlogin_stack.readback import StatsTable
from lastlogin_stack.server import find_program
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
from tests.support.dict_client import write
from tests.support.documented_rights import kafka_rights
from tests.support.process import ServiceProcess, wait_until
from tests.support.producer import ProducerProcess
from tests.support.secured_cassandra import ADMIN as CASSANDRA_ADMIN
from tests.support.secured_kafka import Right


OPERATIONS = PROJECT_ROOT / "docs" / "operations.md"
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
        assert (0, "environment: ok\n", "") == (ended.code, ended.out, ended.err)
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


def test_kafkas_own_tools(secured: Secured, recorded: str, tools: str, tmp_path: Path) -> None:
    """Those commands of the documentation, with the rights that stand beside them."""
    assert recorded
    ours = kafka_rights(ADMIN, OPERATIONS)
    assert [Right("READ", "group", "console-consumer-", prefixed=True)] == ours
    secured.kafka.allow(tools, [*ours, Right("READ", "topic", DEAD_LETTERS)])
    seen = kafka_tool(
        secured,
        tmp_path,
        "consumer.ConsoleConsumer",
        *("--topic", DEAD_LETTERS, "--from-beginning", "--max-messages", "1"),
        *("--timeout-ms", "30000", "--formatter-property", "print.headers=true"),
    )
    assert "reason:unknown_framing" in seen
    group = ("consumer.group.ConsumerGroupCommand", "--group", GROUP)
    secured.kafka.allow(tools, [Right("DESCRIBE", "group", GROUP), Right("DESCRIBE", "topic", EVENTS)])
    assert EVENTS in kafka_tool(secured, tmp_path, *group, "--describe")
    secured.kafka.allow(tools, [Right("READ", "group", GROUP), Right("READ", "topic", EVENTS)])
    reset = ("--topic", EVENTS, "--reset-offsets", "--to-earliest", "--execute")
    assert EVENTS in kafka_tool(secured, tmp_path, *group, *reset)


def kafka_tool(secured: Secured, directory: Path, name: str, *arguments: str) -> str:
    """Run one of Kafka's commands as the user `tools`, as its script would."""
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    properties = directory / "client.properties"
    properties.write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nssl.truststore.type=PEM\n"
        f"ssl.truststore.location={secured.kafka.certificates / 'authority.pem'}\n"
        f'sasl.jaas.config={module} required username="{TOOLS}" password="{PASSWORD}";\n'
    )
    command = [find_program("java"), *KAFKA_JVM.arguments(directory), "-cp", class_path(KAFKA_JARS)]
    command += [f"org.apache.kafka.tools.{name}", "--bootstrap-server", secured.kafka.tls("SECURE")]
    command += ["--command-config", str(properties), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Authorization" not in done.stdout + done.stderr
    return done.stdout


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
