"""Settings of the consumer; `deploy/consumer.toml` shows and explains them all."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from lastlogin_consumer.compact import WindowLimits
from lastlogin_schemas.schema import Schema
from lastlogin_schemas.table import TableMapping
from lastlogin_service.cassandra import CassandraSettings
from lastlogin_service.columns import FUTURE_LIMIT_S, ColumnSettings, FutureLimitSeconds, TtlSeconds
from lastlogin_service.kafka import KafkaSettings, SchemaIds, TopicSettings, schema_id_problems, schemas_of
from lastlogin_service.listening import EndpointSettings
from lastlogin_service.logs import ServiceSettings
from lastlogin_service.settings import Section


class WindowSettings(Section):
    """`[window]`: what may wait in memory, over all partitions together."""

    # A minute of 800 logins/s that are all of different users. Each costs half a kilobyte.
    max_records: int = Field(default=50_000, ge=1, le=10_000_000)
    # What 50,000 logins take with ordinary user names; only long names or poison reach this first.
    max_bytes: int = Field(default=32 * 1024 * 1024, ge=1024 * 1024, le=16 * 1024**3)


class MetricsSettings(EndpointSettings):
    """`[metrics]`: where metrics and health are served."""

    port: int = Field(default=9469, ge=0, le=65_535)


class ShutdownSettings(Section):
    """`[shutdown]`: how long SIGTERM may take."""

    deadline_s: float = Field(default=10.0, ge=0, le=3600)


class ConsumerSettings(ServiceSettings):
    """All settings of `lastlogin-consumer`."""

    model_config = SettingsConfigDict(env_prefix="LASTLOGIN_CONSUMER_")

    told_at_start: ClassVar[tuple[str, ...]] = (
        "group",
        "kafka.bootstrap_servers",
        "kafka.security_protocol",
        "kafka.request_timeout_ms",
        "topics.events",
        "topics.dead_letters",
        "cassandra.contact_points",
        "cassandra.port",
        "cassandra.local_dc",
        "cassandra.tls",
        "cassandra.consistency",
        "cassandra.protocol_version",
        "cassandra.request_timeout_s",
        "cassandra.keyspace",
        "cassandra.table",
        "linger_s",
        "window.max_records",
        "window.max_bytes",
        "future_limit_s",
        "breaker",
        "unmapped",
        "ttl_s",
        "shutdown.deadline_s",
        "metrics.address",
        "metrics.port",
        "log.level",
    )

    group: Annotated[str, Field(min_length=1, max_length=249)] = "lastlogin-consumer"
    # Freshness against writes: a login waits up to this long for a newer one of the same user and service.
    linger_s: float = Field(default=0.2, ge=0, le=3600)
    # A login so far ahead of Kafka's append time comes from a wrong clock and would win for ever.
    future_limit_s: FutureLimitSeconds = FUTURE_LIMIT_S
    # Hold everything back for 5 minutes when most records of a minute are bad. Without it all of them are set aside at
    # once, for a backlog that is known to be bad.
    breaker: bool = True
    # What becomes of logins of a service that has no columns.
    unmapped: Literal["skip", "dead_letter"] = "skip"
    # None: logins stay until a newer one takes their place.
    ttl_s: TtlSeconds | None = None
    # Registry id (Confluent framing) -> version of the LoginEvent schema.
    schema_ids: SchemaIds = Field(default_factory=dict)
    window: WindowSettings = WindowSettings()
    kafka: KafkaSettings
    topics: TopicSettings = TopicSettings()
    cassandra: CassandraSettings
    columns: ColumnSettings = ColumnSettings()
    metrics: MetricsSettings = MetricsSettings()
    shutdown: ShutdownSettings = ShutdownSettings()

    def problems(self) -> Iterator[tuple[str, str]]:
        """Schema versions that this release does not know."""
        yield from schema_id_problems(self.schema_ids)

    @property
    def schemas(self) -> dict[int, Schema]:
        """The schema of each registry id."""
        return schemas_of(self.schema_ids)

    @property
    def table(self) -> TableMapping:
        """The table that is wanted."""
        mapping = self.columns.mapping(self.cassandra.keyspace, self.cassandra.table)
        return replace(mapping, ttl_s=self.ttl_s)

    @property
    def limits(self) -> WindowLimits:
        """Limits of all windows together."""
        return WindowLimits(self.linger_s, self.window.max_records, self.window.max_bytes)
