"""What Kafka's and Cassandra's clients say, in words; their texts are as real servers gave them."""

import logging

import pytest
from aiokafka.errors import (
    CorruptRecordException,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    PolicyViolationError,
    RecordTooLargeError,
    RequestTimedOutError,
)
from cassandra import AuthenticationFailed, DriverException, InvalidRequest, OperationTimedOut, Unauthorized
from cassandra.cluster import NoHostAvailable

from lastlogin_ops.reader import failure_in_words
from lastlogin_service.cassandra import CassandraSettings
from lastlogin_service.exits import Exit
from lastlogin_service.kafka import KafkaSettings
from lastlogin_service.kafka_admin import check, in_words, last_complaint


KAFKA = KafkaSettings(bootstrap_servers=["k:9092"])
TLS = KafkaSettings(bootstrap_servers=["k:9092"], security_protocol="SSL")
CASSANDRA = CassandraSettings(contact_points=["c1", "c2"])
REFUSED = "Kafka at k:9092 cannot be used"
BOOTSTRAP = KafkaConnectionError("Unable to bootstrap from [('k', 9092)]")


@pytest.mark.parametrize(
    ("complaint", "code", "begin"),
    [
        ('Unable connect to "k:9092": [Errno 111] Connect call failed', 69, "Kafka does not answer at k:9092: Unable"),
        (
            "[Error 58] SaslAuthenticationFailed: Failed",
            78,
            f"{REFUSED}, check kafka.sasl_username and its password: [E",
        ),
        ("[Error 33] UnsupportedSaslMechanismError", 78, f"{REFUSED}, check kafka.sasl_mechanism: [Error 33]"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", 78, f"{REFUSED}, check kafka.ca_file: [SSL"),
        ("", 69, "Kafka does not answer at k:9092: KafkaConnectionError: Unable to bootstrap from"),
    ],
)
def test_bootstrap(complaint: str, code: int, begin: str) -> None:
    """Why no broker could be reached is taken from what aiokafka logged; what waiting does not mend is 78."""
    told = in_words(BOOTSTRAP, complaint, KAFKA)

    assert told.code == code
    assert told.message.startswith(begin)


def test_nothing_said() -> None:
    """Where aiokafka gives no reason at all, the likely ones are named, certificates only with TLS."""
    complaint = 'Unable connect to "k:9092": '
    message = (
        'Kafka does not answer at k:9092: Unable connect to "k:9092": '
        "no answer; or the port has another kafka.security_protocol"
    )

    assert in_words(BOOTSTRAP, complaint, KAFKA).message == message
    assert in_words(BOOTSTRAP, complaint, TLS).message == f"{message}, or a certificate was not accepted"


def test_complaints_of_another_outage() -> None:
    """The last complaint of the wanted kind is taken once; a later outage has its own, or none."""
    logger = logging.getLogger("aiokafka.test")
    with last_complaint("Unable connect") as complaint:
        logger.error("Unable connect to k1")
        logger.error("Unable connect to k2")
        logger.error("Heartbeat failed")

        assert ("Unable connect to k2", "") == (complaint.taken(), complaint.taken())


def test_rights_in_kafka() -> None:
    """Missing rights are 78, whether raised or told in a reply; anything else a broker refuses is 69."""
    told = in_words(GroupAuthorizationFailedError("other"), "an old complaint", KAFKA)
    assert told.code == 78
    assert told.message.startswith("the user in [kafka] has no right to do this: [Error 30] GroupAuthorizationFailed")

    check(0, "create the topic t")
    with pytest.raises(Exit) as rights:
        check(29, "create the topic t", "Authorization failed.")
    with pytest.raises(Exit) as policy:
        check(44, "create the topic t", "Topics must begin with x")
    assert (rights.value.code, rights.value.message) == (
        78,
        "the user in [kafka] has no right to create the topic t: TopicAuthorizationFailedError: Authorization failed.",
    )
    assert (policy.value.code, policy.value.message) == (
        69,
        "Kafka did not create the topic t: PolicyViolationError: Topics must begin with x",
    )


def test_other_failure_of_kafka() -> None:
    """A failure after the connection is told by itself, not by an old complaint."""
    assert in_words(KafkaError("odd"), "an old complaint", KAFKA).message == (
        "Kafka does not answer at k:9092: KafkaError: odd"
    )


@pytest.mark.parametrize("error", [CorruptRecordException("odd"), RecordTooLargeError("odd")])
def test_a_record_that_cannot_be_read(error: KafkaError) -> None:
    """It is not said that Kafka is away."""
    told = in_words(error, "an old complaint", KAFKA)

    assert told.message.startswith("Kafka at k:9092 has a record that cannot be read: ")


def test_a_broker_that_answers() -> None:
    """It is not said to be away; a request that has timed out is no answer."""
    told = in_words(PolicyViolationError("no"), "", KAFKA)

    assert (69, True) == (
        told.code,
        told.message.startswith("Kafka at k:9092 answers with an error: [Error 44] Policy"),
    )
    assert in_words(RequestTimedOutError(), "", KAFKA).message.startswith("Kafka does not answer at k:9092: [Error 7]")


@pytest.mark.parametrize(
    ("error", "code", "begin"),
    [
        (
            AuthenticationFailed('code=0100 [Bad credentials] message="Provided username x and/or password"'),
            78,
            "Cassandra refuses cassandra.username and its password: ",
        ),
        (
            AuthenticationFailed("Remote end requires authentication"),
            78,
            "Cassandra wants a login, set cassandra.username and password_file: ",
        ),
        (
            PermissionError(1, "Last error: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"),
            78,
            "Cassandra's certificate is not trusted, check cassandra.ca_file: ",
        ),
        (ConnectionResetError(104, "Connection reset by peer"), 69, "Cassandra does not answer: [Errno 104] "),
        (OperationTimedOut(), 69, "Cassandra does not answer: "),
    ],
)
def test_no_cassandra(error: Exception, code: int, begin: str) -> None:
    """Why no node could be used is told once, however many nodes say it; what waiting does not mend is 78."""
    failure = NoHostAvailable("Unable to connect to any servers", {"c1:9042": error, "c2:9042": error})

    told = failure_in_words(failure, CASSANDRA)

    assert isinstance(told, Exit)
    assert told.code == code
    assert told.message.startswith(begin)
    assert told.message.endswith(" (c1, c2 port 9042)")
    assert told.message.count(str(error)) == 1


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            Unauthorized("User x has no SELECT permission"),
            78,
            "the user in [cassandra] lacks a right: User x has no SELECT permission",
        ),
        (InvalidRequest("no such thing"), 78, "Cassandra refuses the query: no such thing"),
        (DriverException("broken"), 69, "Cassandra could not answer (c1, c2 port 9042): broken"),
        (TimeoutError("10"), 69, "Cassandra did not answer within 10 s (c1, c2 port 9042)"),
        (
            NoHostAvailable("Unable to connect to any servers", ["c1"]),
            69,
            "Cassandra does not answer: no node is up (c1, c2 port 9042)",
        ),
    ],
)
def test_cassandra_says_no(error: Exception, code: int, message: str) -> None:
    """What Cassandra answers is one line with what to look at."""
    told = failure_in_words(error, CASSANDRA)

    assert isinstance(told, Exit)
    assert (told.code, told.message) == (code, message)


def test_defects_stay_defects() -> None:
    """What is neither Cassandra's nor the driver's is not dressed up as theirs."""
    error = ZeroDivisionError()

    assert failure_in_words(error, CASSANDRA) is error
