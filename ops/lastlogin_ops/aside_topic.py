"""A topic of records that were set aside, as this run is to read it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lastlogin_ops.set_aside import Found
from lastlogin_ops.tailing import Record
from lastlogin_service.kafka import KafkaSettings


F = TypeVar("F", bound=Found)


@dataclass(frozen=True, slots=True)
class AsideTopic(Generic[F]):
    """Its servers, its name, which the setting `key` says, and how a record of it is read."""

    kafka: KafkaSettings
    name: str
    key: str
    read: Callable[[Record], F]
