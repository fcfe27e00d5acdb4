"""What is written for each server."""

import tomllib
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from lastlogin_stack.cassandra import JAVA_17_FLAGS, RING, render_yaml
from lastlogin_stack.dovecot import Account, DovecotOptions, MailUser, render_configuration, render_users
from lastlogin_stack.jars import KAFKA_JARS, class_path, pom
from lastlogin_stack.kafka import CLUSTER, KAFKA_JVM, render_properties
from lastlogin_stack.layout import Layout
from lastlogin_stack.server import Jvm
from lastlogin_stack.services import ConsumerService, ProducerService, Tables, render_toml


LAYOUT = Layout(Path("/stack"), 18000)
ROOT = Account(None, 5000, 5000)
ORDINARY = Account(("alice", "staff"), 1000, 50)


def test_kafka_listens_on_loopback_only() -> None:
    """Every address in Kafka's configuration is on loopback, and on this stack's ports."""
    lines = render_properties(LAYOUT, {}).splitlines()

    assert "listeners=PLAINTEXT://127.0.0.1:18092,CONTROLLER://127.0.0.1:18093" in lines
    assert "controller.quorum.voters=1@127.0.0.1:18093" in lines
    assert "log.dirs=/stack/kafka/data" in lines


def test_kafka_properties_can_be_overridden() -> None:
    """A property given replaces ours instead of standing beside it."""
    lines = render_properties(LAYOUT, {"broker.session.timeout.ms": "9000", "min.insync.replicas": "1"}).splitlines()

    assert ["broker.session.timeout.ms=9000"] == [line for line in lines if line.startswith("broker.session")]
    assert "min.insync.replicas=1" in lines


@pytest.mark.parametrize("node", [None, 1])
def test_kafka_takes_no_other_protocols_greeting_for_a_length(node: int | None) -> None:
    """What CQL, HTTP and TLS begin with is above a request's limit; it and all that waits fit into the heap twice."""
    properties = dict(line.split("=", 1) for line in render_properties(LAYOUT, {}, node).splitlines())
    limit, waiting = int(properties["socket.request.max.bytes"]), int(properties["queued.max.request.bytes"])
    heap = int(KAFKA_JVM.heap.removesuffix("m")) * 1_048_576

    assert limit < min(int.from_bytes(greeting) for greeting in (b"\x04\0\0\0", b"GET ", b"\x16\x03\x01\x02"))
    assert 2 * (limit + waiting) < heap


def test_each_broker_of_the_cluster_knows_the_others() -> None:
    """Three brokers have ports, data and numbers of their own, and the same three voters."""
    lines = [render_properties(LAYOUT, {}, node).splitlines() for node in CLUSTER]
    voters = "controller.quorum.voters=1@127.0.0.1:18074,2@127.0.0.1:18075,3@127.0.0.1:18076"

    assert all(voters in each for each in lines)
    assert "node.id=2" in lines[1]
    assert "log.dirs=/stack/kafka3/data" in lines[2]
    assert 3 == len({line for each in lines for line in each if line.startswith("listeners=")})


def test_cassandra_seed_has_this_stacks_port() -> None:
    """The seed carries the storage port: without it the nodes of two stacks would look for each other."""
    lines = render_yaml(LAYOUT).splitlines()

    assert '    parameters: [{seeds: "127.0.0.1:18070"}]' in lines
    assert "storage_port: 18070" in lines
    assert "native_transport_port: 18042" in lines


def test_each_node_of_the_ring_has_an_address_and_a_share_of_its_own() -> None:
    """Three nodes listen on one port of three addresses, know each other, and share the tokens evenly."""
    lines = [render_yaml(LAYOUT, node).splitlines() for node in RING]
    seeds = '    parameters: [{seeds: "127.0.0.1:18078, 127.0.0.2:18078, 127.0.0.3:18078"}]'
    shares = [next(line for line in each if line.startswith("initial_token: ")).split('"')[1] for each in lines]
    tokens = sorted(int(token) for share in shares for token in share.split(", "))

    assert all(seeds in each for each in lines)
    assert all("native_transport_port: 18077" in each for each in lines)
    assert [f"rpc_address: 127.0.0.{node}" in each for node, each in zip(RING, lines, strict=True)] == [True] * 3
    assert 12 == len(tokens)
    assert 1 >= max(abs(later - earlier - 2**64 // 12) for earlier, later in pairwise(tokens))


@pytest.mark.parametrize("node", [None, 1])
def test_cassandra_loses_no_acknowledged_row(node: int | None) -> None:
    """The commit log is synced before a write is acknowledged."""
    assert "commitlog_sync: batch" in render_yaml(LAYOUT, node).splitlines()


def test_java_flags_are_single_arguments() -> None:
    """Each of Cassandra's flags for Java 17 is one argument of its own."""
    assert not [flag for flag in JAVA_17_FLAGS if " " in flag or not flag.startswith("-")]


def test_jvm_arguments() -> None:
    """The heap has one fixed size, and nothing is left in /tmp."""
    arguments = Jvm("512m", flags=()).arguments(Path("/stack/kafka/tmp"))

    assert [
        "-Xms512m",
        "-Xmx512m",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        "-Djava.io.tmpdir=/stack/kafka/tmp",
    ] == arguments


def test_dovecot_users_have_all_fields() -> None:
    """Each user has the eight fields without which Dovecot finds no userdb entry; an own key stands in the last."""
    text = render_users(DovecotOptions(users=(MailUser("test1"), MailUser("a/b@example.org", "last-login/%s/%u/%r"))))

    assert (
        "test1:{PLAIN}test1::::::\n"
        "a/b@example.org:{PLAIN}a/b@example.org::::::userdb_last_login_key=last-login/%s/%u/%r\n"
    ) == text


def test_dovecot_finds_names_with_quotes() -> None:
    """Quotes and backslashes in a name have a backslash before them in the users file, not in the password."""
    text = render_users(DovecotOptions(users=(MailUser("o'b\\"),)))

    assert "o\\'b\\\\:{PLAIN}o'b\\::::::\n" == text


def test_users_of_the_manual() -> None:
    """test1 to test9 exist, and test4 to test6 keep the client's address."""
    users = DovecotOptions().users

    assert [f"test{n}" for n in range(1, 10)] == [user.name for user in users]
    assert ["test4", "test5", "test6"] == [user.name for user in users if user.key]


def test_dovecot_writes_to_the_producer() -> None:
    """The dict is the producer's socket, with the manual's key and precision, for all three protocols."""
    text = render_configuration(LAYOUT, DovecotOptions(), ROOT)

    assert "  last_login_dict = proxy:/stack/dict.sock:statsdb\n" in text
    assert "  last_login_key = last-login/%s/%u\n" in text
    assert "  last_login_precision = ms\n" in text
    assert 3 == text.count("  mail_plugins = $mail_plugins last_login\n")


def test_dovecot_options() -> None:
    """Key, precision and webmail's rule are as asked for."""
    text = render_configuration(LAYOUT, DovecotOptions(key="last-login/%u", precision="us", webmail_key=None), ROOT)

    assert "  last_login_key = last-login/%u\n" in text
    assert "  last_login_precision = us\n" in text
    assert "remote " not in text


def test_dovecot_on_ipv6() -> None:
    """When asked for, all three services listen on ::1 as well, and nowhere else."""
    with_ipv6 = render_configuration(LAYOUT, DovecotOptions(ipv6=True), ROOT)

    assert 3 == render_configuration(LAYOUT, DovecotOptions(), ROOT).count("    address = 127.0.0.1\n")
    assert 3 == with_ipv6.count("    address = 127.0.0.1 ::1\n") == with_ipv6.count("    address = ")


def test_dovecot_trusts_proxies_when_asked_to() -> None:
    """Nobody's word is taken for a client's address, except that of the networks named."""
    usual, trusting = (
        render_configuration(LAYOUT, DovecotOptions(trusted_networks=networks), ROOT).splitlines()
        for networks in ("", "127.0.0.41 127.0.0.42")
    )

    assert "login_trusted_networks = " in usual
    assert "login_trusted_networks = 127.0.0.41 127.0.0.42" in trusting


def test_mail_directories_are_hashes() -> None:
    """A user's directory is a hash of the name: a slash in it would name another directory."""
    text = render_configuration(LAYOUT, DovecotOptions(), ROOT)

    assert "mail_location = maildir:/stack/dovecot/mail/%{sha1:user}\n" in text


def test_dovecot_as_root() -> None:
    """As root Dovecot keeps its own users and root directories; mail has a numeric owner."""
    text = render_configuration(LAYOUT, DovecotOptions(), ROOT)

    assert "mail_uid = 5000\nmail_gid = 5000\n" in text
    assert "chroot" not in text
    assert "default_internal_user" not in text


def test_dovecot_as_an_ordinary_user() -> None:
    """As an ordinary user everything runs as that user, and nothing that only root may do is tried."""
    text = render_configuration(LAYOUT, DovecotOptions(), ORDINARY)

    assert "mail_uid = 1000\nmail_gid = 50\n" in text
    assert "default_internal_user = alice\ndefault_internal_group = staff\ndefault_login_user = alice\n" in text
    assert 3 == text.count("chroot =\n")


def test_pom_names_every_artifact() -> None:
    """The Maven project depends on exactly the artifacts of the set."""
    namespace = {"m": "http://maven.apache.org/POM/4.0.0"}
    found = ET.fromstring(pom(KAFKA_JARS)).findall("m:dependencies/m:dependency", namespace)  # noqa: S314 - our own

    assert list(KAFKA_JARS.artifacts) == [":".join(part.text or "" for part in each) for each in found]
    assert "/cache/kafka-4.3.1/*" == class_path(KAFKA_JARS, Path("/cache"))


def test_settings_are_toml() -> None:
    """Settings files are TOML with the values that were meant, quotes and other alphabets included."""
    tables: Tables = {"a": {"text": 'say "é"', "list": ["x", "y"], "number": 3}, "b": {"ratio": 0.5}}

    assert tables == tomllib.loads(render_toml(tables))


def test_services_know_their_stack(tmp_path: Path) -> None:
    """Producer and consumer are pointed at the servers and the socket of their own stack."""
    layout = Layout(tmp_path, 18000)

    assert str(layout.dict_socket) == ProducerService(layout).settings()["socket"]["path"]
    assert ["127.0.0.1:18092"] == ConsumerService(layout).settings()["kafka"]["bootstrap_servers"]
    assert 18042 == ConsumerService(layout).settings()["cassandra"]["port"]
    assert (18069,) == ConsumerService(layout).ports == (ConsumerService(layout).settings()["metrics"]["port"],)


def test_service_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own variables do not reach a service, those asked for do."""
    monkeypatch.setenv("LASTLOGIN_CONSUMER_GROUP", "mine")
    monkeypatch.setenv("OTHER", "kept")

    environ = ConsumerService(LAYOUT, {"LASTLOGIN_CONSUMER_LINGER_S": "1"}).environ()

    assert "LASTLOGIN_CONSUMER_GROUP" not in environ
    assert "1" == environ["LASTLOGIN_CONSUMER_LINGER_S"]
    assert "kept" == environ["OTHER"]
