"""The doctor and Kafka: topics, rights, certificates, and brokers that stand still."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from socket import create_server

import pytest

from tests.integration.backend.conftest import Backend
from tests.support.certificates import make_certificate
from tests.support.command import service
from tests.support.producer import ProducerProcess


@pytest.mark.parametrize(
    ("configs", "check", "found"),
    [
        ({"message.timestamp.type": "CreateTime"}, "kafka.topics", "message.timestamp.type is CreateTime"),
        ({"min.insync.replicas": "2"}, "kafka.replicas", "fewer copies in sync than min.insync.replicas (2)"),
    ],
)
def test_misconfigured_topics(backend: Backend, configs: dict[str, str], check: str, found: str) -> None:
    """A topic with the wrong kind of time, or with fewer copies than a write needs."""
    told = backend.doctor(TOPICS__QUARANTINE=backend.kafka.create(**configs))
    [line] = [line for line in told.lines[check] if line["level"] == "error"]

    assert found in line["found"]
    assert {check} == set(told.levels())


def test_a_wrong_password(backend: Backend) -> None:
    """The broker's refusal is told, and never the password."""
    told = backend.doctor(**(backend.kafka.login | {"KAFKA__SASL_PASSWORD": "wrong-secret"}))

    assert ["error"] == told.levels()["kafka.login"]
    assert "check kafka.sasl_username and its password" in told.lines["kafka.login"][0]["found"]
    assert "wrong-secret" not in str(told)


def test_rights(backend: Backend) -> None:
    """Without Write it is named; with what the documentation asks for everything is ok."""
    events, quarantine = backend.settings["TOPICS__EVENTS"], backend.settings["TOPICS__QUARANTINE"]
    for topic in (events, quarantine):
        backend.kafka.grant(topic, "DESCRIBE", "DESCRIBE_CONFIGS")
    backend.kafka.grant(events, "WRITE")
    told = backend.doctor(**backend.kafka.login)
    assert {"kafka.write": ["error"]} == told.levels()
    assert f"{quarantine}: our user may not write" in [line["found"] for line in told.lines["kafka.write"]]
    backend.kafka.grant(quarantine, "WRITE")
    assert {} == backend.doctor(**backend.kafka.login).levels()


@contextmanager
def tls_server(directory: Path) -> Iterator[int]:
    """A port that speaks TLS with a certificate of its own authority, and nothing else."""
    certificate = make_certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key_file)

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with suppress(OSError):
                connection.settimeout(5)
                context.wrap_socket(connection, server_side=True).close()
            connection.close()

    with closing(create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(2)
        thread.join()


@pytest.mark.parametrize(
    ("trusted", "found", "do"),
    [
        ("foreign-cert.pem", "its certificate is refused: self-signed certificate", "kafka.ca_file must hold the CA"),
        ("cert.pem", "IP address mismatch", "name the server in kafka.bootstrap_servers as its certificate does"),
    ],
)
def test_a_wrong_certificate(backend: Backend, tmp_path: Path, trusted: str, found: str, do: str) -> None:
    """A broker of another authority, or of another name, is refused in words that say which."""
    with tls_server(tmp_path) as port:
        told = backend.doctor(
            KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{port}",
            KAFKA__SECURITY_PROTOCOL="SSL",
            KAFKA__CA_FILE=str(tmp_path / trusted),
        )

    assert ["error"] == told.levels()["kafka.tls"]
    assert found in told.lines["kafka.tls"][0]["found"]
    assert told.lines["kafka.tls"][0]["do"].startswith(do)


def test_one_server_of_two(backend: Backend) -> None:
    """A server that is away is a warning while another answers."""
    told = backend.doctor(KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:9,{backend.kafka.plain}")

    assert {"kafka.connect": ["warning"]} == told.levels()
    assert told.lines["kafka.connect"][0]["do"].startswith("is the server up")
    assert told.lines["kafka.connect"][0]["do"].endswith("Logins wait meanwhile")
    assert 0 == told.code


def test_a_kafka_that_stands_still(backend: Backend) -> None:
    """Servers that take a connection and never answer cost the doctor no more than its deadlines."""
    begun = time.monotonic()
    with closing(create_server(("127.0.0.1", 0))) as silent:
        told = backend.doctor(KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{silent.getsockname()[1]}")

    assert ["error"] == told.levels()["kafka.login"]
    assert time.monotonic() - begun < 20


def test_a_login_that_kafka_does_not_take(tmp_path: Path) -> None:
    """What the producer acknowledges and Kafka does not take is an error, and what waits is told."""
    with ProducerProcess(tmp_path) as producer:
        producer.serve()
        places = {"SOCKET__PATH": str(producer.socket), "SPOOL__DIRECTORY": str(tmp_path / "spool")}
        ended = service(
            "lastlogin-producer", "doctor", "--json", **places, BACKEND="mail1", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:9"
        )

    [trip] = [line for line in json.loads(ended.out)["checks"] if line["check"] == "round_trip"]
    assert "clock" not in [line["check"] for line in json.loads(ended.out)["checks"]]
    assert "error" == trip["level"]
    assert "and waits in the spool: 1 messages wait for Kafka" in trip["found"]
