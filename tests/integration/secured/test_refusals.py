"""Case 48: a Kafka or Cassandra that is not as configured gets no connection, and people are told what to mend."""

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.secured.conftest import ADMIN, CARE, CONSUMER, OPS, PASSWORD, PRODUCER, Secured
from tests.support.certificates import Authority
from tests.support.gate import Gate
from tests.support.process import ServiceProcess


CHECK = "--check-config"
# 69 where Kafka just closes the connection, as one that is stopped does, too.
NEEDS_A_PERSON, AWAY = 78, 69
KAFKA_FAULTS = {
    "expired": (NEEDS_A_PERSON, "the broker's certificate must be renewed"),
    "other authority": (NEEDS_A_PERSON, "check kafka.ca_file"),
    "other host": (NEEDS_A_PERSON, "name the servers in kafka.bootstrap_servers as their certificates do"),
    "speaks no TLS": (AWAY, "the port has another kafka.security_protocol"),
    "speaks TLS": (AWAY, "the port has another kafka.security_protocol"),
    "other password": (NEEDS_A_PERSON, "check kafka.sasl_username and its password"),
    "wants a login": (AWAY, "the port has another kafka.security_protocol"),
    "wants a certificate": (AWAY, "or a certificate was not accepted"),
}
CASSANDRA_FAULTS = {
    "expired": (NEEDS_A_PERSON, "Cassandra's certificate has expired"),
    "other authority": (NEEDS_A_PERSON, "check cassandra.ca_file"),
    "other host": (NEEDS_A_PERSON, "check cassandra.server_hostname"),
    "speaks no TLS": (NEEDS_A_PERSON, "check cassandra.tls"),
    "speaks TLS": (None, "Cassandra"),
    "other password": (NEEDS_A_PERSON, "username and"),
    "wants a login": (NEEDS_A_PERSON, "username and"),
    "wants a certificate": (None, "not answer"),
}
# What is said at a start is what is said at a check: some are enough.
STARTED = ("expired", "other password", "speaks TLS")


@pytest.fixture(scope="session")
def other_password_file(secured: Secured) -> str:
    """A password that is not that of any user; it, too, is never said."""
    file = secured.directory / "other"
    file.write_text(f"other-{PASSWORD}")
    file.chmod(0o400)
    return str(file)


def kafka_settings(secured: Secured, fault: str, user: str, other_password_file: str) -> dict[str, str]:
    """Settings of `user`, good but for one thing."""
    kafka = secured.kafka
    no_login = {"SASL_USERNAME": "", "SASL_PASSWORD_FILE": "", "SECURITY_PROTOCOL": "SSL"}
    changes = {
        "expired": {"BOOTSTRAP_SERVERS": kafka.tls("EXPIRED")},
        "other authority": {"CA_FILE": str(kafka.certificates / "foreign.pem")},
        "other host": {"BOOTSTRAP_SERVERS": kafka.tls("ELSEWHERE")},
        "speaks no TLS": {"BOOTSTRAP_SERVERS": kafka.sasl},
        "speaks TLS": {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "CA_FILE": ""},
        "other password": {"SASL_PASSWORD_FILE": other_password_file},
        "wants a login": no_login,
        "wants a certificate": {"BOOTSTRAP_SERVERS": kafka.tls("MUTUAL")} | no_login,
    }
    return secured.to_kafka(user, **changes[fault])


@contextmanager
def cassandra_settings(
    secured: Secured, fault: str, role: str, directory: Path, other_password_file: str
) -> Iterator[dict[str, str]]:
    """Settings of `role`, good but for one thing; where that is a certificate, it is that of a gate before the node."""
    authority = Authority(directory)
    signed = authority.sign("old", days=-1) if fault == "expired" else authority.sign("other", "DNS:node.example.org")
    changes = {
        "other authority": {"CA_FILE": str(authority.file)},
        "speaks no TLS": {"PORT": str(secured.cassandra.layout.cassandra_port)},
        "speaks TLS": {"TLS": "", "CA_FILE": ""},
        "other password": {"PASSWORD_FILE": other_password_file},
        "wants a login": {"USERNAME": "", "PASSWORD_FILE": ""},
    }
    if fault in changes:
        yield secured.to_cassandra(role, **changes[fault])
        return
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(signed.file, signed.key_file)
    settings = {"CA_FILE": str(authority.file)}
    if fault == "wants a certificate":
        shown.load_verify_locations(authority.file)
        shown.verify_mode = ssl.CERT_REQUIRED
        settings["SERVER_HOSTNAME"] = "node.example.org"
    with Gate(secured.cassandra.layout.cassandra_port, tls=shown) as gate:
        yield secured.to_cassandra(role, PORT=str(gate.port), **settings)


def waits(script: str, directory: Path, action: str, found: str, **settings: str) -> None:
    """Start a service: it waits and says so, also what to mend; it keeps the password for itself, and stops with 0."""
    process = ServiceProcess(script, directory / f"{script}.log", settings | {"LOG__FORMAT": "json"})
    with process:
        process.wait_until(lambda: any(found in line.get("why", line["event"]) for line in process.said(action)))
        assert 0 == process.stop()
    assert PASSWORD not in process.output()


@pytest.mark.parametrize("fault", KAFKA_FAULTS)
def test_kafka(secured: Secured, tmp_path: Path, fault: str, other_password_file: str) -> None:
    """By each program, at a check and at a start."""
    code, found = KAFKA_FAULTS[fault]
    settings = {user: kafka_settings(secured, fault, user, other_password_file) for user in (PRODUCER, CONSUMER, ADMIN)}
    own = {
        "SOCKET__PATH": str(tmp_path / "dict.sock"),
        "SPOOL__DIRECTORY": str(tmp_path / "spool"),
        "METRICS__PORT": "0",
    }
    producer = settings[PRODUCER] | own
    consumer = settings[CONSUMER] | secured.to_cassandra("lastlogin_consumer") | {"METRICS__PORT": "0"}
    with ThreadPoolExecutor() as pool:
        checks = [
            pool.submit(secured.run, PRODUCER, CHECK, **producer),
            pool.submit(secured.run, CONSUMER, CHECK, **consumer),
        ]
        plan = pool.submit(secured.run, OPS, "topics", "plan", **settings[ADMIN])
        starts = []
        if fault in STARTED:
            starts += [
                pool.submit(waits, PRODUCER, tmp_path, "kafka_away", found, **producer),
                pool.submit(waits, CONSUMER, tmp_path, "kafka_failing", found, **consumer),
            ]
    for check in checks:
        assert (code if code == NEEDS_A_PERSON else 0) == check.result().code
        assert found in check.result().err
    assert code == plan.result().code
    assert found in plan.result().err
    for start in starts:
        start.result()


@pytest.mark.parametrize("fault", CASSANDRA_FAULTS)
def test_cassandra(secured: Secured, tmp_path: Path, fault: str, other_password_file: str) -> None:
    """By both programs that use it, at a check and at a start."""
    code, found = CASSANDRA_FAULTS[fault]
    kafka = secured.to_kafka(CONSUMER) | {"METRICS__PORT": "0"}
    with (
        cassandra_settings(secured, fault, "lastlogin_consumer", tmp_path, other_password_file) as consumer,
        ThreadPoolExecutor() as pool,
    ):
        ops = consumer | {"CASSANDRA__USERNAME": CARE} if "CASSANDRA__USERNAME" in consumer else consumer
        check = pool.submit(secured.run, CONSUMER, CHECK, **kafka, **consumer)
        show = pool.submit(secured.run, OPS, "show", "nobody", **ops)
        if fault in STARTED:
            pool.submit(waits, CONSUMER, tmp_path, "cassandra_failing", found, **kafka, **consumer).result()
    assert found in check.result().err
    assert found in show.result().err
    if code is not None:
        assert (code, code) == (check.result().code, show.result().code)
