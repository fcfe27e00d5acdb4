"""`--check-config` and starts in bad worlds: one sentence each, the exit code, and nothing disturbed."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.command import Ended, lastlogin, ok, service
from tests.support.consumer import consumer_variables
from tests.support.dict_client import write
from tests.support.producer import ProducerProcess
from tests.support.topics import Topics, own_topics


PRODUCER, CONSUMER = "lastlogin-producer", "lastlogin-consumer"
CHECK = "--check-config"
# Nobody listens on the discard port.
AWAY = {"KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9", "METRICS__PORT": "0"}
KAFKA_AWAY = (
    "warning: Kafka does not answer at 127.0.0.1:9: Unable connect to "
    "\"127.0.0.1:9\": [Errno 111] Connect call failed ('127.0.0.1', 9)"
)


@pytest.fixture
def topics(stack: Layout) -> Iterator[Topics]:
    """Topics of one test, as they should be."""
    with own_topics(stack) as topics:
        yield topics


def producer(directory: Path, **variables: str) -> Ended:
    """Check a producer's configuration; without `variables` nothing but Kafka is missing."""
    own = {"SOCKET__PATH": str(directory / "dict.sock"), "SPOOL__DIRECTORY": str(directory / "spool")}
    return service(PRODUCER, CHECK, **(AWAY | own | variables))


def consumer(layout: Layout, topics: Topics, *arguments: str, **variables: str) -> Ended:
    """Run a consumer that ends by itself."""
    return service(CONSUMER, *arguments, **(consumer_variables(layout, topics) | variables))


def test_kafka_away(tmp_path: Path) -> None:
    """A producer that could start is told to be so, with a warning; nothing was made on the disk."""
    ended = producer(tmp_path)

    assert (0, ok(PRODUCER), f"{PRODUCER}: {KAFKA_AWAY}\n") == (ended.code, ended.out, ended.err)
    assert [] == list(tmp_path.iterdir())


def test_a_service_without_a_column(tmp_path: Path) -> None:
    """Logins that a rule makes those of a service which the table does not know are warned of."""
    ended = producer(tmp_path, RULES='[{"services": ["imap"], "service": "webmial"}]')

    assert (0, ok(PRODUCER)) == (ended.code, ended.out)
    assert (
        f"{PRODUCER}: warning: rules[0].service: webmial - the table as delivered has columns for imap, pop3, webmail, "
        "lmtp only; logins of another service are on the topic, and the consumer skips them unless its [columns] names "
        "it"
    ) == ended.err.splitlines()[0]


def test_silent_servers(tmp_path: Path) -> None:
    """Servers that take a connection and never answer cost the check no more than its deadlines."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = str(silent.getsockname()[1])
        begun = time.monotonic()
        ended = service(
            CONSUMER,
            CHECK,
            KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{port}",
            CASSANDRA__CONTACT_POINTS="127.0.0.1",
            CASSANDRA__PORT=port,
            METRICS__PORT="0",
        )
        took = time.monotonic() - begun

    assert (0, ok(CONSUMER)) == (ended.code, ended.out)
    assert [f"{CONSUMER}: warning: {name}" for name in ("Kafka", "Cassandra")] == [
        line.partition(" at " if "Kafka" in line else " did")[0]
        .removesuffix(" did not answer")
        .removesuffix(" does not answer")
        for line in ended.err.splitlines()
    ]
    assert took < 15


@pytest.mark.parametrize(
    ("variable", "value", "code", "sentence"),
    [
        (
            "METRICS__ADDRESS",
            "192.0.2.1",
            78,
            (
                "metrics.address 192.0.2.1, metrics.port 0: cannot listen there: Cannot assign requested address; the "
                "address must be one of this machine"
            ),
        ),
        (
            "METRICS__PORT",
            "{port}",
            75,
            (
                "metrics.address 127.0.0.1, metrics.port {port}: another program listens there; stop it, or choose "
                "another port"
            ),
        ),
        (
            "SOCKET__PATH",
            "{directory}/no/dict.sock",
            78,
            (
                "{directory}/no/dict.sock: cannot listen there: No such file or directory; its directory must exist, "
                "and this user must be allowed to make a socket there and to give it to the configured owner and group"
            ),
        ),
        (
            "SOCKET__PATH",
            "{directory}/file",
            78,
            "{directory}/file: is not a socket; remove it, or configure another path",
        ),
        (
            "SOCKET__PATH",
            "{directory}/taken.sock",
            75,
            "{directory}/taken.sock: another server listens there; stop it, or configure another path",
        ),
        ("SPOOL__DIRECTORY", "{directory}/file", 78, "{directory}/file: spool.directory must name a directory"),
        (
            "SPOOL__DIRECTORY",
            "{directory}/file/spool",
            78,
            (
                "{directory}/file/spool: cannot make the spool's directory: Not a directory; make it for the user that "
                "the producer runs as, or name another one in spool.directory; if it is on a mount that may come "
                "later, have the service wait for that (RequiresMountsFor= in its unit)"
            ),
        ),
        (
            "SPOOL__DIRECTORY",
            "{directory}/open",
            78,
            (
                "{directory}/open: other users may write to the spool's directory (mode 0777); take that right away: "
                "chmod go-w {directory}/open"
            ),
        ),
    ],
)
def test_places_that_cannot_be_used(tmp_path: Path, variable: str, value: str, code: int, sentence: str) -> None:
    """Each is one sentence and its code, and whoever has the place is left alone."""
    (tmp_path / "file").write_text("precious")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as port,
        closing(socket.socket(socket.AF_UNIX)) as taken,
    ):
        taken.bind(str(tmp_path / "taken.sock"))
        taken.listen()
        taken.setblocking(False)
        words = {"directory": tmp_path, "port": port.getsockname()[1]}
        ended = producer(tmp_path, **{variable: value.format(**words)})

        with pytest.raises(BlockingIOError):
            taken.accept()

    assert (code, "") == (ended.code, ended.out)
    assert [f"{PRODUCER}: {KAFKA_AWAY}", f"{PRODUCER}: {sentence.format(**words)}"] == ended.err.splitlines()
    assert "precious" == (tmp_path / "file").read_text()
    assert (tmp_path / "taken.sock").is_socket()


@pytest.mark.parametrize("script", [PRODUCER, CONSUMER])
def test_a_start_without_its_metrics_port(tmp_path: Path, script: str) -> None:
    """A start ends with the sentence and the code that the check tells; no traceback."""
    places = {"SOCKET__PATH": str(tmp_path / "dict.sock"), "SPOOL__DIRECTORY": str(tmp_path / "spool")}
    own = places if script == PRODUCER else {"CASSANDRA__CONTACT_POINTS": "127.0.0.1", "CASSANDRA__PORT": "9"}
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        checked, started = (
            service(script, *arguments, **(AWAY | own | {"METRICS__PORT": port})) for arguments in ((CHECK,), ())
        )

    sentence = (
        f"{script}: metrics.address 127.0.0.1, metrics.port {port}: another program listens there; stop it, or choose "
        "another port"
    )
    assert (75, 75) == (checked.code, started.code)
    assert (sentence, sentence) == (checked.err.splitlines()[-1], started.err.strip())
    assert "Traceback" not in started.out


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """Several problems are several lines; one of them that needs a person makes it 78."""
    (tmp_path / "file").write_text("")
    with closing(socket.create_server(("127.0.0.1", 0))) as port:
        ended = producer(tmp_path, METRICS__PORT=str(port.getsockname()[1]), SPOOL__DIRECTORY=str(tmp_path / "file"))

    assert 78 == ended.code
    assert 3 == len(ended.err.splitlines())


def test_beside_a_running_producer(tmp_path: Path) -> None:
    """The configuration of a producer that runs is good, and it does not notice the check."""
    with ProducerProcess(tmp_path, METRICS__PORT="0") as running:
        running.serve()
        ended = producer(tmp_path)

        assert (0, ok(PRODUCER)) == (ended.code, ended.out)
        assert b"O1\n" == write(running.socket, "u", "shared/last-login/imap/u/192.0.2.1", "1795387910161")
        assert 0 == running.stop()


def test_a_good_world(stack: Layout, topics: Topics, tmp_path: Path) -> None:
    """With everything in its place there is nothing to say but ok."""
    kafka = {"KAFKA__BOOTSTRAP_SERVERS": stack.kafka_bootstrap}
    names = {"TOPICS__EVENTS": topics.events, "TOPICS__QUARANTINE": topics.dead_letters, "TOPICS__DEAD_LETTERS": "x"}
    for script, ended in (
        (PRODUCER, producer(tmp_path, **kafka, **names)),
        (CONSUMER, consumer(stack, topics, CHECK)),
    ):
        assert (0, ok(script), "") == (ended.code, ended.out, ended.err)


def test_a_table_with_some_of_the_columns(stack: Layout, topics: Topics, rows: StatsTable) -> None:
    """What is not written for want of a column is a warning."""
    name = f"some_{uuid4().hex[:12]}"
    columns = ", ".join(f"last_login_{service} timestamp" for service in ("imap", "pop3", "lmtp"))
    rows.session.execute(f"CREATE TABLE statsdb.{name} (user text PRIMARY KEY, {columns}, remote_ip_imap inet)")
    ended = consumer(stack, topics, CHECK, CASSANDRA__TABLE=name)
    rows.session.execute(f"DROP TABLE statsdb.{name}")

    assert (0, ok(CONSUMER)) == (ended.code, ended.out)
    assert (
        f"{CONSUMER}: warning: the table statsdb.{name} lacks columns, which are not written: last_login_webmail, "
        "remote_ip_lmtp, remote_ip_pop3, remote_ip_webmail; logins of webmail are skipped, add what is wanted with "
        "`lastlogin schema apply`\n"
    ) == ended.err


@pytest.mark.parametrize(
    ("configs", "fault"),
    [
        (None, "no such topic, or no right to see it; make it with `lastlogin topics apply`"),
        (
            {"message.timestamp.type": "CreateTime"},
            (
                "message.timestamp.type is CreateTime, must be LogAppendTime: else a login from a wrong clock is not "
                "noticed; mend it with `lastlogin topics apply`"
            ),
        ),
        (
            {"cleanup.policy": "compact"},
            (
                "cleanup.policy is compact, must be delete: compaction keeps the highest offset, not the newest login; "
                "mend it with `lastlogin topics apply`"
            ),
        ),
    ],
)
def test_topics(stack: Layout, topics: Topics, tmp_path: Path, configs: dict[str, str] | None, fault: str) -> None:
    """A topic that is missing or wrongly set is one sentence and 78, at the consumer's start as well."""
    name = f"bad-{uuid4().hex[:12]}"
    if configs is not None:
        topics.create(name, 1, **configs)
    kafka = {"KAFKA__BOOTSTRAP_SERVERS": stack.kafka_bootstrap}
    ends = [
        producer(tmp_path, **kafka, TOPICS__EVENTS=topics.events, TOPICS__QUARANTINE=name),
        consumer(stack, topics, CHECK, TOPICS__DEAD_LETTERS=name),
        consumer(stack, topics, TOPICS__DEAD_LETTERS=name),
    ]
    if configs is not None:
        topics.delete(name)

    assert [78] * 3 == [ended.code for ended in ends]
    assert [
        f"{PRODUCER}: topics.quarantine: {name}: {fault}\n",
        *[f"{CONSUMER}: topics.dead_letters: {name}: {fault}\n"] * 2,
    ] == [ended.err for ended in ends]


def test_a_data_centre_that_there_is_not(stack: Layout, topics: Topics) -> None:
    """Cassandra answers, and names its own: one sentence and 78, at the consumer's start as well."""
    ends = [consumer(stack, topics, *arguments, CASSANDRA__LOCAL_DC="dc9") for arguments in ((CHECK,), ())]

    sentence = f"{CONSUMER}: cassandra.local_dc: dc9 - Cassandra has no such data centre; it has datacenter1\n"
    assert [(78, sentence)] * 2 == [(ended.code, ended.err) for ended in ends]


def test_a_port_without_tls(stack: Layout, topics: Topics) -> None:
    """A port that speaks no TLS is no node that is away: a sentence with the keys, and 78."""
    ended = consumer(stack, topics, CHECK, CASSANDRA__TLS="true")

    sentence = f"{CONSUMER}: Cassandra's port speaks no TLS, check cassandra.tls and cassandra.port\n"
    assert (78, sentence) == (ended.code, ended.err)


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        (
            None,
            "there is no table statsdb.{name}: check cassandra.keyspace and cassandra.table, or make it with `",
        ),
        ("user text PRIMARY KEY, seen timestamp", "the table statsdb.{name} has none of the columns last_login_imap, "),
        (
            "user text PRIMARY KEY, last_login_imap timestamp, remote_ip_imap text",
            "columns of the table statsdb.{name} have another type: remote_ip_imap is text, must be inet; ",
        ),
        (
            "user text PRIMARY KEY, last_login_imap bigint",
            "columns of the table statsdb.{name} have another type: last_login_imap is bigint, must be timestamp; ",
        ),
        (
            "user text, service text, last_login_imap timestamp, PRIMARY KEY (user, service)",
            "the primary key of the table statsdb.{name} is (user, service), must be (user); ",
        ),
    ],
)
def test_tables(stack: Layout, topics: Topics, rows: StatsTable, columns: str | None, fault: str) -> None:
    """A table that cannot be used is one sentence and 78, at the consumer's start and of `lastlogin show` as well."""
    name = f"bad_{uuid4().hex[:12]}"
    if columns is not None:
        rows.session.execute(f"CREATE TABLE statsdb.{name} ({columns})")
    checked, started = (consumer(stack, topics, *arguments, CASSANDRA__TABLE=name) for arguments in ((CHECK,), ()))
    shown = lastlogin(stack, "show", "u", CASSANDRA__TABLE=name)
    if columns is not None:
        rows.session.execute(f"DROP TABLE statsdb.{name}")

    assert (78, 78, 78) == (checked.code, started.code, shown.code)
    assert "" == checked.out
    assert checked.err == started.err == shown.err.replace("lastlogin:", f"{CONSUMER}:", 1)
    [line] = checked.err.splitlines()
    assert line.startswith(f"{CONSUMER}: {fault.format(name=name)}")
