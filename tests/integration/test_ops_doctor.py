"""`lastlogin doctor` on a Kafka and a Cassandra that ask for names: a good world, and deliberate misconfigurations."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_server
from uuid import uuid4

import pytest

from lastlogin_schemas.topics import SET_ASIDE_MAX_MESSAGE_BYTES
from lastlogin_stack.cassandra import PERIODIC
from lastlogin_stack.layout import Layout
from tests.support.command import lastlogin
from tests.support.consumer import ConsumerProcess, consumer_variables
from tests.support.damage import flip_bit
from tests.support.logins import login
from tests.support.secured_cassandra import ROLE, SecuredCassandra, secured_cassandra
from tests.support.secured_kafka import USER, Right, SecuredKafka, secured_kafka
from tests.support.topics import Topics


# One node, whose commit log is as Cassandra has it by default.
EXPECTED = {"cassandra.copies": ["warning"], "cassandra.commit_log": ["warning"]}
DAY_MS = 86_400_000
# What `lastlogin topics` would make on one broker.
WANTED = {"TOPICS__PARTITIONS": "2", "TOPICS__REPLICATION_FACTOR": "1", "TOPICS__MIN_INSYNC_REPLICAS": "1"}


@dataclass(frozen=True, slots=True)
class Told:
    """What the doctor said: lines by check, and how it ended."""

    code: int
    lines: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    took_s: float = 0.0

    @property
    def odd(self) -> dict[str, list[str]]:
        """Levels that are not ok, but for what is expected of these servers."""
        found = {
            check: [line["level"] for line in lines if line["level"] != "ok"] for check, lines in self.lines.items()
        }
        return {check: levels for check, levels in found.items() if levels and levels != EXPECTED.get(check)}

    def said(self, check: str) -> str:
        """All lines of one check, each with what to do."""
        return "\n".join(f"{line['level']}: {line['found']}; {line['do']}" for line in self.lines.get(check, ()))


@dataclass(frozen=True, slots=True)
class World:
    """The servers, topics and a table of a consumer that runs; `settings` are the consumer's."""

    kafka: SecuredKafka
    cassandra: SecuredCassandra
    topics: Topics
    settings: dict[str, str]

    @property
    def tls(self) -> dict[str, str]:
        """Settings with which the consumer comes to both by TLS."""
        return {
            "KAFKA__BOOTSTRAP_SERVERS": self.kafka.tls("SECURE"),
            "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA__CA_FILE": str(self.kafka.certificates / "authority.pem"),
            "CASSANDRA__PORT": str(self.cassandra.tls_port),
            "CASSANDRA__TLS": "true",
            "CASSANDRA__CA_FILE": str(self.cassandra.ca_file),
        }

    def doctor(self, **variables: str) -> Told:
        """Ask, with `variables` of the consumer above the good ones, and the command told the same."""
        theirs = self.settings | variables
        ours = {name: value for name, value in theirs.items() if name.startswith(("TOPICS__", "COLUMNS__"))}
        ours |= {"LAG__GROUP": theirs["GROUP"], "CASSANDRA__TABLE": theirs["CASSANDRA__TABLE"]} | WANTED
        return ask(self.kafka.layout, **ours, **{f"CONSUMER_{name}": value for name, value in theirs.items()})


def ask(layout: Layout, *arguments: str, **variables: str) -> Told:
    """Run the doctor with these settings."""
    begun = time.monotonic()
    ended = lastlogin(layout, "doctor", "--json", *arguments, **variables)
    took_s = time.monotonic() - begun
    assert "" == ended.err
    lines: dict[str, list[dict[str, str]]] = {}
    for line in json.loads(ended.out)["checks"]:
        # That of the kernel is the host's.
        if line["check"] != "clock":
            lines.setdefault(line["check"], []).append(line)
    return Told(ended.code, lines, took_s)


def granted(kafka: SecuredKafka, topics: Topics) -> None:
    """Let the consumer's user do what the documentation asks for, and see settings."""
    kafka.grant(topics.events, "READ", "DESCRIBE_CONFIGS")
    kafka.grant(topics.dead_letters, "DESCRIBE", "WRITE", "DESCRIBE_CONFIGS")
    kafka.allow(USER, [Right("READ", "group", topics.events)])
    topics.configure(topics.dead_letters, "max.message.bytes", str(SET_ASIDE_MAX_MESSAGE_BYTES))


@pytest.fixture(scope="module")
def world(layout: Layout, alone: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests here; a test that changes it puts it back."""
    with ExitStack() as opened:
        kafka = opened.enter_context(secured_kafka(layout))
        cassandra = opened.enter_context(secured_cassandra(layout, commit_log=PERIODIC))
        topics = Topics(kafka.layout, 2)
        granted(kafka, topics)
        kafka.allow(USER, [Right("DESCRIBE_CONFIGS", "cluster", "kafka-cluster")])
        cassandra.grant()
        cassandra.execute(f"GRANT SELECT ON TABLE system_views.settings TO {ROLE}")
        settings = consumer_variables(kafka.layout, topics) | kafka.login | cassandra.settings
        settings |= {"CASSANDRA__TABLE": cassandra.table.name, "GROUP": topics.events}
        consumer = ConsumerProcess(kafka.layout, topics, tmp_path_factory.mktemp("doctor"), **settings)
        with consumer:
            consumer.wait_for("assigned")
            now_us = time.time_ns() // 1000
            topics.publish(*(login(f"doctor-{n}", now_us) for n in range(20)))
            consumer.wait_until(lambda: topics.lag(consumer.group) == 0)
            yield World(kafka, cassandra, topics, settings)


def test_a_good_world(world: World) -> None:
    """With the consumer's own rights everything is known and ok, but one node and how its commit log is kept."""
    told = world.doctor(**world.tls)

    assert {} == told.odd
    for server in ("kafka", "cassandra"):
        assert ", certificate until " in told.said(f"{server}.tls")
    assert 0 == told.code
    assert "rows are lost with it" in told.said("cassandra.copies")
    assert "periodic, 10 s (127.0.0.1): an acknowledged row may be in memory alone" in told.said("cassandra.commit_log")
    assert f"{world.topics.events}: 1 member" in told.said("group.members")
    assert "; not known of lastlogin.quarantine; gc_grace_seconds 10 d" in told.said("keeping.erased")


def test_topics_and_group(world: World) -> None:
    """Kinds of time and deletion, how long what is kept, rights, and a group that nobody is in: each has its line."""
    name = world.kafka.create(
        **{
            "message.timestamp.type": "CreateTime",
            "cleanup.policy": "compact,delete",
            "retention.ms": str(30 * DAY_MS),
            "max.message.bytes": str(4 * 1024 * 1024),
        }
    )
    world.kafka.grant(name, "DESCRIBE", "DESCRIBE_CONFIGS")
    letters = world.kafka.create()
    world.kafka.grant(letters, "DESCRIBE", "DESCRIBE_CONFIGS")
    world.kafka.allow(USER, [Right("DESCRIBE", "group", "nobody")])
    quarantine = world.kafka.create(**{"retention.ms": str(40 * DAY_MS)})
    world.kafka.grant(quarantine, "DESCRIBE_CONFIGS")
    topics = {"TOPICS__EVENTS": name, "TOPICS__DEAD_LETTERS": letters, "TOPICS__QUARANTINE": quarantine}
    told = world.doctor(**topics, GROUP="nobody", TTL_S="3600", COLUMNS__ADDRESS_TYPE="text")

    assert 1 == told.code
    assert "message.timestamp.type is CreateTime, must be LogAppendTime" in told.said("kafka.topics")
    assert "cleanup.policy is compact,delete, must be delete" in told.said("kafka.topics")
    assert "mend it with `lastlogin topics apply`" in told.said("kafka.topics")
    assert f"error: {name}: our user may not read; grant Read on it" == told.said("kafka.read")
    assert f"error: {letters}: our user may not write; grant Write on it" == told.said("kafka.write")
    assert "retention.ms is 2592000000, wanted 604800000" in told.said("kafka.plan")
    assert "would hold its partition; raise max.message.bytes" in told.said("kafka.size")
    assert "error: nobody: our user may not read; grant Read on that group" == told.said("group.read")
    assert "nobody is in it, and it has never committed an offset; start lastlogin-consumer" in told.said(
        "group.members"
    )
    assert f"{name} is kept 30 d, gc_grace_seconds of statsdb" in told.said("keeping.erased")
    assert f"{quarantine} is kept 40 d, gc_grace_seconds of statsdb" in told.said("keeping.erased")
    assert "the topic of events 30 d; raise offsets.retention.minutes" in told.said("keeping.offsets")
    assert "ttl_s is 1 h, events are kept 30 d" in told.said("keeping.ttl")
    assert "remote_ip_imap is inet, must be text" in told.said("table.columns")
    assert 'set columns.address_type = "inet"' in told.said("table.columns")


def test_a_topic_that_is_missing_and_what_the_least_rights_do_not_show(world: World) -> None:
    """What is not there is an error; what may not be seen is at most a warning, with what to grant."""
    name = world.kafka.create()
    world.kafka.grant(name, "READ")
    world.cassandra.execute("CREATE ROLE newcomer WITH LOGIN = true AND PASSWORD = 'secret'")
    role = {"CASSANDRA__USERNAME": "newcomer", "CASSANDRA__PASSWORD": "secret"}
    told = world.doctor(TOPICS__EVENTS=name, TOPICS__DEAD_LETTERS="no-such", GROUP="foreign", **role)

    assert "error: topics.dead_letters: no-such: no such topic, or no right to see it" in told.said("kafka.topics")
    assert f"warning: topics.events: {name}: its settings could not be checked: grant" in told.said("kafka.topics")
    assert f"ok: {name}: our user may read; " == told.said("kafka.read")
    assert "error: foreign: our user may not see that group; grant Read on it" == told.said("group.read")
    assert told.said("cassandra.settings").startswith("warning: commit log, batches and guardrails are not known")
    assert "GRANT SELECT ON TABLE system_views.settings TO newcomer" in told.said("cassandra.settings")
    assert "error: newcomer has no MODIFY on statsdb." in told.said("table.modify")


def test_lost_records_and_a_clock_ahead(world: World) -> None:
    """Records that retention took before they were read, and backends whose clocks are ahead, by name."""
    topics = Topics(world.kafka.layout, 2)
    granted(world.kafka, topics)
    now_us = time.time_ns() // 1000
    topics.publish(*(login(f"lost-{n}", now_us)._replace(backend="mail1") for n in range(4)), partition=0)
    topics.reset(topics.events)
    topics.delete_records(3)
    ahead = login("ahead", now_us + 60_000_000)._replace(backend="mail2")
    topics.publish(ahead, login("future", now_us + 3_600_000_000)._replace(backend="mail3"), partition=1)
    settings = {"TOPICS__EVENTS": topics.events, "TOPICS__DEAD_LETTERS": topics.dead_letters}
    told = world.doctor(**settings, GROUP=topics.events)

    assert "3 records were deleted before they were read, in the partitions 0; raise" in told.said("group.offsets")
    assert "nobody is in it: logins wait in Kafka; start lastlogin-consumer" in told.said("group.members")
    assert f"ok: {topics.events}: 3 records wait, the oldest for " in told.said("group.lag")
    [warned, refused] = told.lines["clock.backends"]
    assert ("warning", "mail2") == (warned["level"], warned["found"].partition(":")[0])
    assert ("error", "mail3") == (refused["level"], refused["found"].partition(":")[0])
    assert "its logins are refused as future" in refused["found"]
    assert {"group.offsets", "group.members", "clock.backends"} == told.odd.keys()


def test_damaged_records(world: World) -> None:
    """The lag is told from offsets; where a record cannot be read is an error, and the other records are looked at."""
    topics = Topics(world.kafka.layout, 2)
    granted(world.kafka, topics)
    topics.reset(topics.events)
    for number in range(3):
        topics.publish(*(login(f"user{number}{each}") for each in range(3)), partition=1)
    topics.publish(login("other"), partition=0)
    flip_bit(world.kafka.layout, topics.events, 1, b"user11")
    ahead = world.doctor(TOPICS__EVENTS=topics.events, TOPICS__DEAD_LETTERS=topics.dead_letters, GROUP=topics.events)
    flip_bit(world.kafka.layout, topics.events, 1, b"user01")
    told = world.doctor(TOPICS__EVENTS=topics.events, TOPICS__DEAD_LETTERS=topics.dead_letters, GROUP=topics.events)

    assert 1 == told.code
    assert f"error: {topics.events}: the record at offset 3 of partition 1 cannot" in ahead.said("kafka.records")
    assert f"error: {topics.events}: the record at offset 0 of partition 1 cannot" in told.said("kafka.records")
    assert f"ok: {topics.events}: 10 records wait, the oldest for " in ahead.said("group.lag")
    assert f"warning: {topics.events}: 10 records wait; since when is not known" in told.said("group.lag")
    assert "none of the 4 newest logins of 1 backend" in ahead.said("clock.backends")
    assert "none of the 1 newest login of 1 backend" in told.said("clock.backends")


def test_the_table(world: World) -> None:
    """Columns, options and the right to write: each that is not as it must be has its line, with the CQL for it."""
    name = f"bad_{uuid4().hex[:12]}"
    world.cassandra.execute(
        f"CREATE TABLE statsdb.{name} (user text PRIMARY KEY, last_login_imap timestamp, remote_ip_imap inet) "
        "WITH default_time_to_live = 86400 AND gc_grace_seconds = 3600 "
        "AND compaction = {'class': 'TimeWindowCompactionStrategy'}"
    )
    told = world.doctor(CASSANDRA__TABLE=name, CASSANDRA__CONSISTENCY="TWO")

    assert 1 == told.code
    assert "lacks columns, which are not written: last_login_lmtp, " in told.said("table.columns")
    assert f"in cqlsh: ALTER TABLE statsdb.{name} ADD (" in told.said("table.columns")
    assert f"error: default_time_to_live of statsdb.{name} is 1 d: logins vanish" in told.said("table.options")
    assert "TimeWindowCompactionStrategy" in told.said("table.options")
    assert (
        f"error: {ROLE} has no MODIFY on statsdb.{name}; in cqlsh: GRANT MODIFY ON TABLE statsdb.{name} TO {ROLE}"
    ) == told.said("table.modify")
    assert "who was erased from the table may come back" in told.said("keeping.erased")
    assert "1 copy of a row on 1 node, 2 needed (TWO): no row can be written" in told.said("cassandra.copies")


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (
            {"KAFKA__SASL_PASSWORD": "wrong-secret", "CASSANDRA__PASSWORD": "wrong-secret"},
            {"kafka.login": "SaslAuthenticationFailed", "cassandra.login": "refuses cassandra.username"},
        ),
        (
            {"KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "CASSANDRA__TLS": "true"},
            {"kafka.tls": "another kafka.security_protocol", "cassandra.tls": "look at cassandra.tls"},
        ),
        (
            {"KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9", "CASSANDRA__LOCAL_DC": "dc7"},
            {"kafka.connect": "cannot be connected to", "cassandra.local_dc": "it has datacenter1"},
        ),
    ],
)
def test_servers_that_cannot_be_used(world: World, variables: dict[str, str], told: dict[str, str]) -> None:
    """Logins, TLS, ports and the data centre: the line that is wrong is told, and never a password."""
    found = world.doctor(**variables)

    assert 1 == found.code
    for check, words in told.items():
        assert words in found.said(check)
        assert "error" in found.said(check)
    assert "secret" not in str(found)


def test_one_server_away(world: World) -> None:
    """Of a Cassandra with a certificate of somebody else's nothing is known; Kafka is looked at all the same."""
    told = world.doctor(**world.tls | {"CASSANDRA__CA_FILE": str(world.kafka.certificates / "foreign.pem")})

    assert {"cassandra.tls": ["error"]} == told.odd
    assert "its certificate is refused" in told.said("cassandra.tls")
    assert "cassandra.ca_file must hold the CA" in told.said("cassandra.tls")
    assert "nothing waits" in told.said("group.lag")


def test_servers_that_stand_still(world: World) -> None:
    """Servers that take connections and never answer cost the doctor no more than its deadlines."""
    with closing(create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        told = world.doctor(KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{port}", CASSANDRA__PORT=str(port))

    assert {"kafka.login": ["error"], "cassandra.login": ["error"]} == told.odd
    assert told.took_s < 25


def test_configuration(world: World, tmp_path: Path) -> None:
    """A misspelt key and a password that everybody can read are told; what the command knows is looked at all the same.

    Then nobody knows what the consumer's user may do in Kafka.
    """
    file = tmp_path / "consumer.toml"
    file.write_text(
        'grop = "x"\n[kafka]\nbootstrap_servers = ["127.0.0.1:9"]\n[cassandra]\ncontact_points = ["127.0.0.1"]\n'
    )
    secret = tmp_path / "password"
    secret.write_text("secret")
    secret.chmod(0o644)
    own = {name: value for name, value in world.settings.items() if name.startswith(("CASSANDRA__", "TOPICS__"))}
    own |= {
        "CASSANDRA__PASSWORD": "",
        "CASSANDRA__PASSWORD_FILE": str(secret),
        "LAG__GROUP": world.topics.events,
    } | WANTED
    told = ask(world.kafka.layout, "--consumer", str(file), **own)

    assert f"error: {file}: grop: " in told.said("configuration.consumer")
    assert "deploy/consumer.toml shows every setting" in told.said("configuration.consumer")
    assert f"warning: {secret}: every user of this machine can read" in told.said("configuration")
    assert f"ok: {world.topics.events}: 1 member" in told.said("group.members")
    assert "refuses cassandra.username" in told.said("cassandra.login")
    assert "kafka.read" not in told.lines
