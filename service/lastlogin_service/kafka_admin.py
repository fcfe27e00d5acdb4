"""Kafka's admin client, with its failures in words."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    BrokerResponseError,
    CorruptRecordException,
    KafkaConnectionError,
    KafkaError,
    RecordTooLargeError,
    RequestTimedOutError,
    for_code,
)

from lastlogin_service.exits import CONFIG, UNAVAILABLE, Exit
from lastlogin_service.kafka import KafkaSettings, client_options
from lastlogin_service.tasks import end_within, whole


# For a command that somebody waits for; what has not answered by then is away. The second is for each request.
_DEADLINE_S = 30.0
_REQUEST_TIMEOUT_MS = 8_000
# Milliseconds are enough where Kafka answers; where it does not, this holds a stop.
_START_GRACE_S = 0.5

# What the brokers, or our TLS, say (as aiokafka logs it) when waiting does not help, and what to look at.
_REFUSALS = (
    ("certificate has expired", "the broker's certificate must be renewed"),
    ("certificate is not valid for", "name the servers in kafka.bootstrap_servers as their certificates do"),
    ("CERTIFICATE_VERIFY_FAILED", "check kafka.ca_file"),
    ("WRONG_VERSION_NUMBER", "check kafka.security_protocol: the port speaks no TLS"),
    ("SaslAuthenticationFailed", "check kafka.sasl_username and its password"),
    ("UnsupportedSaslMechanism", "check kafka.sasl_mechanism"),
    ("IllegalSaslState", "check kafka.security_protocol"),
)

# Of a record that is damaged, or larger than can be fetched.
UNREADABLE = (CorruptRecordException, RecordTooLargeError)
_AUTHORIZATION_ERRORS = (29, 30, 31)  # topic, group, cluster (Kafka's protocol guide, "Error codes")


class LastComplaint(logging.Handler):
    """Keeps aiokafka's last complaint: why no broker could be reached is only in its log."""

    def __init__(self, begin: str) -> None:
        super().__init__(logging.WARNING)
        self._begin = begin
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, if it begins as wanted."""
        if (text := record.getMessage()).startswith(self._begin):
            self.text = text

    def taken(self) -> str:
        """Return it once: what is told of one outage says nothing of the next."""
        text, self.text = self.text, ""
        return text


@contextmanager
def last_complaint(begin: str = "") -> Iterator[LastComplaint]:
    """Listen to aiokafka's log: `text` is its last warning or error that begins so."""
    complaint = LastComplaint(begin)
    logger = logging.getLogger("aiokafka")
    logger.addHandler(complaint)
    try:
        yield complaint
    finally:
        logger.removeHandler(complaint)


async def start(client: Any) -> None:
    """Start a client of aiokafka; whoever calls closes it, also when this raises or is cancelled.

    Cancelled in the middle, `AIOKafkaClient.bootstrap` (0.14) forgets its first connection and leaves it open.
    """
    await whole(client.start(), _START_GRACE_S)


async def abandon(producer: Any, deadline_s: float) -> None:
    """Stop a producer of aiokafka within the deadline, whatever hangs; what it was handed over is given up.

    Not by its own `stop`, which waits for that, and goes on waiting in the background.
    """
    producer._closed = True  # noqa: SLF001 - else its destructor complains
    # The parts of stop() after the wait; the sender waits for requests, which end with their connections.
    await end_within(deadline_s, producer._sender.close(), producer.client.close())  # noqa: SLF001


@asynccontextmanager
async def admin_client(settings: KafkaSettings, deadline_s: float = _DEADLINE_S) -> AsyncIterator[AIOKafkaAdminClient]:
    """Give a connected client; everything inside shares the deadline. What Kafka raises becomes `Exit`."""
    servers = ", ".join(settings.bootstrap_servers)
    hurried = settings.model_copy(update={"request_timeout_ms": min(settings.request_timeout_ms, _REQUEST_TIMEOUT_MS)})
    client = AIOKafkaAdminClient(**client_options(hurried, "lastlogin"))
    with last_complaint() as complaint:
        try:
            async with asyncio.timeout(deadline_s):
                await start(client)
                yield client
        except TimeoutError:
            raise Exit(UNAVAILABLE, f"Kafka at {servers} did not answer within {deadline_s:g} s") from None
        except KafkaError as error:
            raise in_words(error, complaint.text, settings) from None
        finally:
            await client.close()


def in_words(error: KafkaError, complaint: str, settings: KafkaSettings) -> Exit:
    """Turn what aiokafka raised, and the last that it logged, into a sentence with what to look at."""
    servers = ", ".join(settings.bootstrap_servers)
    if isinstance(error, BrokerResponseError) and error.errno in _AUTHORIZATION_ERRORS:
        return Exit(CONFIG, f"the user in [kafka] has no right to do this: {error}")
    cause = " ".join((complaint if isinstance(error, KafkaConnectionError) and complaint else str(error)).split())
    for refusal, what in _REFUSALS:
        if refusal in cause:
            return Exit(CONFIG, f"Kafka at {servers} cannot be used, {what}: {cause}")
    if isinstance(error, UNREADABLE):
        return Exit(UNAVAILABLE, f"Kafka at {servers} has a record that cannot be read: {cause}")
    # aiokafka itself raises the one when nothing was answered.
    if isinstance(error, BrokerResponseError) and not isinstance(error, RequestTimedOutError):
        return Exit(UNAVAILABLE, f"Kafka at {servers} answers with an error: {cause}")
    if cause.endswith((":", "closed")):
        # All that aiokafka says when a request times out, when TLS and plaintext meet, and when our
        # certificate is not accepted.
        cause = f"{cause.rstrip(':')}: no answer; or the port has another kafka.security_protocol"
        cause += ", or a certificate was not accepted" * settings.uses_tls
    return Exit(UNAVAILABLE, f"Kafka does not answer at {servers}: {cause}")


def check(code: int, what: str, message: str | None = None) -> None:
    """Raise `Exit` when `code`, from a reply, says that Kafka did not do `what` ("create the topic x")."""
    if code == 0:
        return
    kind = for_code(code)
    detail = f"{kind.__name__}: {message or getattr(kind, 'description', '')}"
    if code in _AUTHORIZATION_ERRORS:
        raise Exit(CONFIG, f"the user in [kafka] has no right to {what}: {detail}")
    raise Exit(UNAVAILABLE, f"Kafka did not {what}: {detail}")
