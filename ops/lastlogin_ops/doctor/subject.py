"""What the doctor looks at, and as whom: the consumer by its own settings, else what the command is told.

The one place where this command reaches into the consumer, for its settings: told twice, they would part. They need no
package that this command lacks.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_ops.settings import OpsSettings
from lastlogin_schemas.schema import Schema
from lastlogin_schemas.table import TableMapping
from lastlogin_service.cassandra import CassandraSettings
from lastlogin_service.doctor.report import Line, error, ok, warning
from lastlogin_service.exits import Exit
from lastlogin_service.kafka import KafkaSettings, TopicSettings
from lastlogin_service.settings import S, load, warnings
from lastlogin_service.subcommand import is_there


CONSUMER_FILE = Path("/etc/lastlogin/consumer.toml")
_CONSUMER_PREFIX = "LASTLOGIN_CONSUMER_"

_AS_ANOTHER = "ask the doctor as root, or as the user that the file is for"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at; `is_consumer` tells whether it is with the consumer's own names, and so its rights."""

    kafka: KafkaSettings | None
    topics: TopicSettings
    group: str
    cassandra: CassandraSettings | None
    table: TableMapping | None
    schemas: Mapping[int, Schema]
    future_limit_s: float
    is_consumer: bool = False


def configuration(
    file: Path | None, consumer_file: Path | None
) -> tuple[Subject | None, OpsSettings | None, list[Line]]:
    """Read both sides' settings; None is what cannot be used, and a line for each problem."""
    command, lines = _loaded("configuration", OpsSettings, file, "deploy/lastlogin.toml")
    if consumer_file is None and is_there(CONSUMER_FILE):
        consumer_file = CONSUMER_FILE
    check = "configuration.consumer"
    if consumer_file is None and not any(name.startswith(_CONSUMER_PREFIX) for name in os.environ):
        found = "the consumer's settings are not here: what its user may do is not looked at"
        do = "ask the doctor where the consumer runs, or name a copy of its file: --consumer"
        lines.append(warning(check, found, do))
        return (_of_command(command) if command is not None else None), command, lines
    consumer, told = _loaded(check, ConsumerSettings, consumer_file, "deploy/consumer.toml")
    lines += told
    if consumer is None:
        return (_of_command(command) if command is not None else None), command, lines
    if command is not None:
        lines += [
            warning(
                "configuration.same", found, "give both files the same: what the command shows is not what is written"
            )
            for found in differences(command, consumer)
        ]
    return _of_consumer(consumer), command, lines


def _loaded(check: str, cls: type[S], file: Path | None, example: str) -> tuple[S | None, list[Line]]:
    try:
        settings = load(cls, file, os.environ)
    except Exit as end:
        mend = f"mend it; {example} shows every setting"
        return None, [
            error(check, line, _AS_ANOTHER if "cannot be read" in line else mend) for line in end.message.splitlines()
        ]
    lines = [warning(check, sentence, "take those rights away") for sentence in warnings(settings, file)]
    return settings, lines or [ok(check, str(file or "environment"))]


def _of_consumer(settings: ConsumerSettings) -> Subject:
    return Subject(
        settings.kafka,
        settings.topics,
        settings.group,
        settings.cassandra,
        settings.table,
        settings.schemas,
        settings.future_limit_s,
        is_consumer=True,
    )


def _of_command(settings: OpsSettings) -> Subject:
    cassandra = settings.cassandra
    table = settings.columns.mapping(cassandra.keyspace, cassandra.table) if cassandra is not None else None
    return Subject(
        settings.kafka,
        settings.topics,
        settings.lag.group,
        cassandra,
        table,
        settings.tail.schemas,
        settings.future_limit_s,
    )


def differences(command: OpsSettings, consumer: ConsumerSettings) -> Iterator[str]:
    """What the command is told otherwise than the consumer, though both must look at the same."""
    pairs: list[tuple[str, object, str, object]] = []
    if command.kafka is not None:
        pairs += [
            (f"topics.{name}", getattr(command.topics, name), f"topics.{name}", getattr(consumer.topics, name))
            for name in ("events", "quarantine", "dead_letters")
        ]
        pairs.append(("lag.group", command.lag.group, "group", consumer.group))
        pairs.append(("tail.schema_ids", command.tail.schema_ids, "schema_ids", consumer.schema_ids))
    if command.cassandra is not None:
        pairs += [
            (
                f"cassandra.{name}",
                getattr(command.cassandra, name),
                f"cassandra.{name}",
                getattr(consumer.cassandra, name),
            )
            for name in ("keyspace", "table")
        ]
        pairs += [(name, getattr(command, name), name, getattr(consumer, name)) for name in ("ttl_s", "future_limit_s")]
        ours, theirs = dict(command.columns), dict(consumer.columns)
        pairs += [(f"columns.{name}", ours[name], f"columns.{name}", theirs[name]) for name in ours]
    for ours_key, our_value, their_key, their_value in pairs:
        if our_value != their_value:
            yield f"{ours_key} is {_shown(our_value)}, the consumer's {their_key} is {_shown(their_value)}"


def _shown(value: object) -> str:
    return "not set" if value is None else str(value)
