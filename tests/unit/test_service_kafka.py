"""Kafka's settings and what they become."""

import ssl
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError
from pydantic_settings import SettingsConfigDict

from lastlogin_service.exits import Exit
from lastlogin_service.kafka import KafkaSettings, TopicSettings, client_options
from lastlogin_service.settings import Settings, load
from lastlogin_service.topics import look_at_topics
from tests.support.certificates import Certificate, make_certificate


class Program(Settings):
    """A program that talks to Kafka."""

    model_config = SettingsConfigDict(env_prefix="P_")

    kafka: KafkaSettings
    topics: TopicSettings = TopicSettings()


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """Return a certificate with its keys."""
    return make_certificate(tmp_path)


def kafka(**keys: object) -> KafkaSettings:
    """Settings with these keys, as the environment gives them."""
    environ = {f"P_KAFKA__{key.upper()}": str(value) for key, value in keys.items()}
    return load(Program, None, {"P_KAFKA__BOOTSTRAP_SERVERS": "k1:9092"} | environ).kafka


def problems(**keys: object) -> list[str]:
    """Problems of these keys, without their origins."""
    with pytest.raises(Exit) as caught:
        kafka(**keys)
    return [line.split(": ", 1)[1] for line in caught.value.message.splitlines()]


def test_plaintext() -> None:
    """Servers alone are enough."""
    assert client_options(kafka(bootstrap_servers="k1:9092,[2001:db8::1]:9093"), "me") == {
        "bootstrap_servers": ["k1:9092", "[2001:db8::1]:9093"],
        "client_id": "me",
        "request_timeout_ms": 20_000,
        "security_protocol": "PLAINTEXT",
    }


def test_sasl_over_tls_with_the_systems_authorities() -> None:
    """Name and password over TLS; without ca_file the system's own authorities are trusted, and names checked."""
    options = client_options(
        kafka(security_protocol="SASL_SSL", sasl_username="u", sasl_password="p", sasl_mechanism="PLAIN"), "me"
    )

    context = options.pop("ssl_context")
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert options == {
        "bootstrap_servers": ["k1:9092"],
        "client_id": "me",
        "request_timeout_ms": 20_000,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "u",
        "sasl_plain_password": "p",
    }


def test_client_certificate(certificate: Certificate) -> None:
    """A certificate with its key is taken, and only the given authority trusted."""
    options = client_options(
        kafka(
            security_protocol="SSL",
            ca_file=certificate.file,
            cert_file=certificate.file,
            key_file=certificate.key_file,
        ),
        "me",
    )

    assert [ca["subject"] for ca in options["ssl_context"].get_ca_certs()] == [((("commonName", "test"),),)]


@pytest.mark.parametrize(
    "server",
    ["k1", "k1:", ":9092", "k1:0", "k1:65536", "k1:x", "http://k1:9092", "k1:²", "k1..x:9092", ".k1:9092", "..:9092"],
)
def test_bad_servers(server: str) -> None:
    """A server is host:port, and the host one that can be looked up."""
    allowed = "must be host:port, for example kafka1.example.org:9092, with 1 to 63 characters between dots"
    assert problems(bootstrap_servers=server) == [f'kafka.bootstrap_servers[0]: "{server}" - {allowed}']


def test_long_names_of_servers() -> None:
    """A label has up to 63 characters; the last one may be empty."""
    label = "x" * 63
    assert kafka(bootstrap_servers=f"{label}.{label}.:9092").bootstrap_servers == [f"{label}.{label}.:9092"]
    for host in (f"x{label}", f"a.x{label}", f"x{label}.b", ".".join([label] * 4) + ".x"):
        assert len(problems(bootstrap_servers=f"{host}:9092")) == 1


def test_login_missing() -> None:
    """SASL needs a name and a password."""
    why = "because security_protocol is SASL_PLAINTEXT"
    assert problems(security_protocol="SASL_PLAINTEXT") == [
        f"kafka.sasl_username: not given - must be given, {why}",
        f"kafka.sasl_password: not given - must be given (or sasl_password_file), {why}",
    ]


def test_unused_security() -> None:
    """Settings that the protocol leaves unused are refused: they look like security and are none."""
    assert problems(ca_file="/ca.pem", sasl_username="u", sasl_password="hunter2") == [
        'kafka.ca_file: "/ca.pem" - must not be given, because security_protocol is PLAINTEXT',
        'kafka.sasl_username: "u" - must not be given, because security_protocol is PLAINTEXT',
        'kafka.sasl_password: "********" - must not be given, because security_protocol is PLAINTEXT',
    ]


def test_unreadable_certificates() -> None:
    """Files that are not there are told before the first connection, as is a certificate without key."""
    assert problems(security_protocol="SSL", ca_file="/no/ca.pem", cert_file="/no/cert.pem") == [
        'kafka.ca_file: "/no/ca.pem" - must be a file that this user can read',
        'kafka.cert_file: "/no/cert.pem" - must be a file that this user can read',
        "kafka.key_file: not given - must be given too, because cert_file is given",
    ]


def test_paths_that_cannot_be() -> None:
    """A NUL in the path of a password or a certificate is one problem each."""
    login = {"security_protocol": "SASL_SSL", "sasl_username": "u"}
    assert problems(**login, sasl_password_file="/a\0b", ca_file="/a\0b") == [
        r'kafka.ca_file: "/a\u0000b" - must not contain a NUL',
        r'kafka.sasl_password_file: "/a\u0000b" - must not contain a NUL',
    ]


def test_bad_certificates(certificate: Certificate, tmp_path: Path) -> None:
    """Files that hold something else are told, a key with a passphrase too, without asking for it."""
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")

    assert problems(security_protocol="SSL", ca_file=junk) == [
        f'kafka.ca_file: "{junk}" - must hold certificates in PEM form (-----BEGIN CERTIFICATE-----)'
    ]
    allowed = "must be a certificate in PEM form that belongs to key_file, whose key has no passphrase"
    for key_file in (junk, certificate.encrypted_key_file, certificate.foreign_key_file):
        assert problems(security_protocol="SSL", cert_file=certificate.file, key_file=key_file) == [
            f'kafka.cert_file: "{certificate.file}" - {allowed}'
        ]


def test_certificates_that_vanish(certificate: Certificate) -> None:
    """A certificate that became unusable since the start is a sentence, not a traceback."""
    settings = kafka(security_protocol="SSL", ca_file=certificate.file)
    certificate.file.write_text("junk")

    with pytest.raises(Exit, match="the certificates in \\[kafka\\] cannot be used") as caught:
        client_options(settings, "me")
    assert caught.value.code == 78


def test_topics() -> None:
    """Topics have Kafka's names, and each kind of message its own."""
    with pytest.raises(Exit) as caught:
        load(
            Program,
            None,
            {"P_KAFKA__BOOTSTRAP_SERVERS": "k:1", "P_TOPICS__EVENTS": "a b", "P_TOPICS__QUARANTINE": "x" * 250},
        )
    allowed = "must be a topic name: up to 249 letters, digits, dots, hyphens and underscores"
    assert caught.value.message == (
        f'P_TOPICS__EVENTS: topics.events: "a b" - {allowed}\n'
        f'P_TOPICS__QUARANTINE: topics.quarantine: "{"x" * 76}... - {allowed}'
    )
    with pytest.raises(Exit) as caught:
        load(
            Program,
            None,
            {"P_KAFKA__BOOTSTRAP_SERVERS": "k:1", "P_TOPICS__EVENTS": "a", "P_TOPICS__DEAD_LETTERS": "a"},
        )
    assert caught.value.message == (
        'P_TOPICS__DEAD_LETTERS: topics.dead_letters: "a" - must be another topic than events and quarantine'
    )


@pytest.mark.parametrize("name", [".", ".."])
def test_topic_names_that_are_directories(name: str) -> None:
    """Topics are directories on the brokers; these two are taken."""
    with pytest.raises(Exit):
        load(Program, None, {"P_KAFKA__BOOTSTRAP_SERVERS": "k:1", "P_TOPICS__EVENTS": name})


async def test_kafka_away(unused_tcp_port: int) -> None:
    """A Kafka that is away is aiokafka's error, with nothing left open."""
    with pytest.raises(KafkaConnectionError):
        await look_at_topics(kafka(bootstrap_servers=f"127.0.0.1:{unused_tcp_port}"), {"events": "x"})
