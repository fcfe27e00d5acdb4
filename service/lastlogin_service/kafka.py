"""How to reach Kafka."""

import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr

from lastlogin_schemas import topics
from lastlogin_schemas.schema import LOGIN_EVENT_SCHEMAS, Schema
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.settings import HOST_NAME, Section, Whole, matching
from lastlogin_service.tls import certificate_problems, client_context


_HIGHEST_PORT = 65_535


def _host_and_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    named = re.fullmatch(rf"{HOST_NAME}|\[[0-9A-Fa-f:.]+\]", host, re.ASCII)
    if not (named and port.isascii() and port.isdigit() and 0 < int(port) <= _HIGHEST_PORT):
        raise ValueError("must be host:port, for example kafka1.example.org:9092, with 1 to 63 characters between dots")
    return text


# Kafka's own rule (Topic.validate): it also names directories on the brokers.
TopicName = Annotated[
    str,
    matching(
        r"(?!\.\.?$)[\w.-]{1,249}", "must be a topic name: up to 249 letters, digits, dots, hyphens and underscores"
    ),
]


# Registry id (Confluent framing) -> version of a message's schema.
SchemaIds = Annotated[dict[Annotated[int, Field(ge=0, lt=2**32)], Whole], Field(max_length=1000)]


class KafkaSettings(Section):
    """`[kafka]`: servers, encryption and login."""

    bootstrap_servers: list[Annotated[str, AfterValidator(_host_and_port)]] = Field(min_length=1, max_length=100)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = None
    # Above the brokers' replica.lag.time.max.ms it would outlive an election; aiokafka also expires batches by it.
    request_timeout_ms: int = Field(default=20_000, ge=1_000, le=300_000)

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether we log in by name and password."""
        return self.security_protocol.startswith("SASL")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Settings that contradict the security protocol are told: silently unused, they feign security."""
        why = f"security_protocol is {self.security_protocol}"
        if self.uses_tls:
            yield from certificate_problems(self)
        else:
            for key in ("ca_file", "cert_file", "key_file"):
                if getattr(self, key) is not None:
                    yield key, f"must not be given, because {why}"
        for key in ("sasl_username", "sasl_password"):
            given = getattr(self, key) is not None
            if self.uses_sasl and not given:
                yield key, f"must be given{' (or sasl_password_file)' * (key != 'sasl_username')}, because {why}"
            if given and not self.uses_sasl:
                yield key, f"must not be given, because {why}"


class TopicSettings(Section):
    """`[topics]`: names of the topics."""

    events: TopicName = topics.EVENTS
    quarantine: TopicName = topics.QUARANTINE
    dead_letters: TopicName = topics.DEAD_LETTERS

    def problems(self) -> Iterator[tuple[str, str]]:
        """Two kinds of message in one topic would each be poison to the other's readers."""
        if self.quarantine == self.events:
            yield "quarantine", "must be another topic than events"
        if self.dead_letters in (self.events, self.quarantine):
            yield "dead_letters", "must be another topic than events and quarantine"


def schema_id_problems(
    schema_ids: Mapping[int, int], schemas: Mapping[int, Schema] = LOGIN_EVENT_SCHEMAS
) -> Iterator[tuple[str, str]]:
    """Schema versions that this release does not know, as problems of the key `schema_ids`.

    `schemas` are the versions of the message that the ids are for.
    """
    for schema_id, version in schema_ids.items():
        if version not in schemas:
            name, known = next(iter(schemas.values())).name, ", ".join(map(str, schemas))
            yield "schema_ids", f"id {schema_id} must name a version of {name} that we know: {known}"


def schemas_of(schema_ids: Mapping[int, int], schemas: Mapping[int, Schema] = LOGIN_EVENT_SCHEMAS) -> dict[int, Schema]:
    """The schema of each registry id, of which `schema_id_problems` found none wrong."""
    return {schema_id: schemas[version] for schema_id, version in schema_ids.items()}


def client_options(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Keyword arguments that aiokafka's consumer, producer and admin client have in common.

    Raises `Exit(78)` when the certificates have become unusable since the settings were read.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "client_id": client_id,
        "request_timeout_ms": settings.request_timeout_ms,
        "security_protocol": settings.security_protocol,
    }
    if settings.uses_tls:
        options["ssl_context"] = _context(settings)
    if settings.uses_sasl and settings.sasl_password is not None:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    return options


def _context(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        return client_context(settings)
    except OSError as error:
        raise Exit(CONFIG, f"the certificates in [kafka] cannot be used: {error}") from None
