"""Case 48 in the middle of the work: certificates expire and passwords change, and nothing needs a restart."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path

from lastlogin_stack.readback import StatsTable
from tests.integration.secured.conftest import CONSUMER, PASSWORD, PRODUCER, Secured, make_role
from tests.support.certificates import Authority, Signed
from tests.support.dict_client import write
from tests.support.gate import Gate
from tests.support.process import ServiceProcess
from tests.support.producer import ProducerProcess
from tests.support.secured_cassandra import ADMIN, ROLE


_DEADLINE_S = 60.0


def shown(signed: Signed) -> ssl.SSLContext:
    """What a server with this certificate shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.file, signed.key_file)
    return context


def test_it_goes_on_when_mended(secured: Secured, tmp_path: Path) -> None:
    """Logins are acknowledged all the time; what is refused is told, with what to look at; mended, all is written."""
    authority = Authority(tmp_path)
    good, expired = shown(authority.sign("good")), shown(authority.sign("old", days=-1))
    kafka, node = secured.kafka, secured.cassandra
    to_kafka = {"BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka.gate_port}", "CA_FILE": str(authority.file)}
    with (
        Gate(kafka.behind_port, port=kafka.gate_port, tls=good) as way_to_kafka,
        Gate(node.layout.cassandra_port, tls=good) as way_to_cassandra,
        StatsTable(node.layout, login=ADMIN) as table,
        ProducerProcess(tmp_path, **secured.to_kafka(PRODUCER, **to_kafka)) as producer,
        ServiceProcess(
            CONSUMER,
            tmp_path / "consumer.log",
            secured.to_kafka(CONSUMER, **to_kafka)
            | secured.to_cassandra(ROLE, PORT=str(way_to_cassandra.port), CA_FILE=str(authority.file))
            | {"METRICS__PORT": "0", "LOG__FORMAT": "json"},
        ) as consumer,
    ):
        producer.serve()

        def login(user: str) -> str:
            at_ms = str(time.time_ns() // 1_000_000)
            assert b"O1\n" == write(producer.socket, user, f"shared/last-login/imap/{user}", at_ms)
            return user

        def written(*users: str) -> Callable[[], bool]:
            return lambda: all("imap" in table.row(user) for user in users)

        def told(process: ServiceProcess, action: str, what: str) -> None:
            process.wait_until(
                lambda: any(what in line.get("why", line["event"]) for line in process.said(action)), _DEADLINE_S
            )

        def again(gate: Gate, tls: ssl.SSLContext) -> None:
            gate.shut()
            gate.tls = tls
            gate.open()

        consumer.wait_until(written(login("first")), _DEADLINE_S)

        again(way_to_kafka, expired)
        second = login("second")
        told(producer, "kafka_away", "the broker's certificate must be renewed")
        told(consumer, "kafka_away", "the broker's certificate must be renewed")
        again(way_to_kafka, good)
        consumer.wait_until(written(second), _DEADLINE_S)

        again(way_to_cassandra, expired)
        third = login("third")
        told(consumer, "cassandra_failing", "certificate has expired")
        consumer.wait_until(lambda: "certificate has expired" in str(consumer.reasons()))
        make_role(node, ROLE, "another")
        again(way_to_cassandra, good)
        consumer.wait_until(lambda: "check username and password" in str(consumer.reasons()), _DEADLINE_S)
        for user in (PRODUCER, CONSUMER):
            kafka.set_password(user, "another")
        fourth = login("fourth")
        again(way_to_kafka, good)
        told(producer, "kafka_away", "check kafka.sasl_username and its password")

        make_role(node, ROLE, PASSWORD)
        for user in (PRODUCER, CONSUMER):
            kafka.set_password(user, PASSWORD)
        consumer.wait_until(written(third, fourth), _DEADLINE_S)
        assert (0, 0) == (producer.stop(), consumer.stop())
        assert PASSWORD not in producer.output() + consumer.output()
