"""Settings of the command; each part is needed only by the subcommands that use it."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from lastlogin_schemas.schema import RAW_WRITE_SCHEMAS, Schema
from lastlogin_schemas.topics import RETENTION_DAYS, SET_ASIDE_MAX_MESSAGE_BYTES, TopicSpec, topic_spec
from lastlogin_service.cassandra import CassandraSettings
from lastlogin_service.columns import FUTURE_LIMIT_S, ColumnSettings, FutureLimitSeconds, TtlSeconds
from lastlogin_service.kafka import KafkaSettings, SchemaIds, TopicSettings, schema_id_problems, schemas_of
from lastlogin_service.settings import Section, Settings


class WantedTopics(TopicSettings):
    """`[topics]`: names of the topics, and what `lastlogin topics` makes of them."""

    # Each is a unit of parallel work; more than there will ever be consumers costs little.
    partitions: int = Field(default=12, ge=1, le=1_000)
    replication_factor: int = Field(default=3, ge=1, le=100)
    min_insync_replicas: int = Field(default=2, ge=1, le=100)
    # Below the table's gc_grace_seconds (10 days unless changed): a replay then cannot bring erased users back.
    retention_days: int = Field(default=RETENTION_DAYS, ge=1, le=365)

    def problems(self) -> Iterator[tuple[str, str]]:
        """A topic that needs more copies than it has can never be written to."""
        yield from super().problems()
        if self.min_insync_replicas > self.replication_factor:
            yield "min_insync_replicas", f"must be at most replication_factor, {self.replication_factor}"

    def specs(self) -> list[TopicSpec]:
        """Return the topics as they should be. What is set aside is little: one partition keeps it in order."""
        common = {
            "replication_factor": self.replication_factor,
            "min_insync_replicas": self.min_insync_replicas,
            "retention_days": self.retention_days,
        }
        aside = {**common, "partitions": 1, "max_message_bytes": SET_ASIDE_MAX_MESSAGE_BYTES}
        return [
            topic_spec(self.events, partitions=self.partitions, **common),
            topic_spec(self.quarantine, **aside),
            topic_spec(self.dead_letters, **aside),
        ]


class LagSettings(Section):
    """`[lag]`: whose backlog tells how fresh the table is."""

    group: Annotated[str, Field(min_length=1)] = "lastlogin-consumer"


class TailSettings(Section):
    """`[tail]`: how the events are framed."""

    # Registry id (Confluent framing) -> version of the LoginEvent schema, as in the consumer's settings.
    schema_ids: SchemaIds = Field(default_factory=dict)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Schema versions that this release does not know."""
        yield from schema_id_problems(self.schema_ids)

    @property
    def schemas(self) -> dict[int, Schema]:
        """The schema of each registry id."""
        return schemas_of(self.schema_ids)


class QuarantineSettings(Section):
    """`[quarantine]`: how the writes that were set aside are framed."""

    # Registry id (Confluent framing) -> version of the RawWrite schema.
    schema_ids: SchemaIds = Field(default_factory=dict)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Schema versions that this release does not know."""
        yield from schema_id_problems(self.schema_ids, RAW_WRITE_SCHEMAS)

    @property
    def schemas(self) -> dict[int, Schema]:
        """The schema of each registry id."""
        return schemas_of(self.schema_ids, RAW_WRITE_SCHEMAS)


class OpsSettings(Settings):
    """What the command `lastlogin` is told, by file or environment (`LASTLOGIN_`)."""

    model_config = SettingsConfigDict(env_prefix="LASTLOGIN_")
    foreign_env_prefixes: ClassVar[tuple[str, ...]] = (
        "LASTLOGIN_PRODUCER_",
        "LASTLOGIN_CONSUMER_",
        "LASTLOGIN_STACK_",
    )

    # As in the consumer's settings. None: logins stay, unless the table has a default of its own.
    ttl_s: TtlSeconds | None = None
    # As in the consumer's settings.
    future_limit_s: FutureLimitSeconds = FUTURE_LIMIT_S
    kafka: KafkaSettings | None = None
    topics: WantedTopics = WantedTopics()
    cassandra: CassandraSettings | None = None
    columns: ColumnSettings = ColumnSettings()
    lag: LagSettings = LagSettings()
    tail: TailSettings = TailSettings()
    quarantine: QuarantineSettings = QuarantineSettings()
