"""The Avro schemas, one file per version, never edited once released.

A schema is known on the wire by its fingerprint: CRC-64-AVRO over the parsing canonical form, little-endian
(Avro 1.12 specification, "Single object encoding").
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form


@dataclass(frozen=True, slots=True)
class Schema:
    """One version of one message.

    `definition` is the file as published; `runtime` is what bytes are read and written with: the same without
    logical types, whose conversion to datetime costs a fifth of the decoding time and is never wanted here.
    """

    name: str
    version: int
    fingerprint: bytes
    definition: Any
    runtime: Any


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: _without_logical_types(v) for k, v in node.items() if k not in ("logicalType", "doc")}
    if isinstance(node, list):
        return [_without_logical_types(item) for item in node]
    return node


def _load(file_name: str, name: str, version: int) -> Schema:
    definition = json.loads((files(__package__) / "avsc" / file_name).read_text("utf-8"))
    canonical = to_parsing_canonical_form(definition)
    return Schema(
        name=name,
        version=version,
        fingerprint=bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO")),
        definition=definition,
        runtime=parse_schema(_without_logical_types(definition)),
    )


LOGIN_EVENT_V1 = _load("login_event.v1.avsc", "LoginEvent", 1)
RAW_WRITE_V1 = _load("raw_write.v1.avsc", "RawWrite", 1)

LOGIN_EVENT = LOGIN_EVENT_V1
RAW_WRITE = RAW_WRITE_V1

# Every schema that a reader of today may meet, oldest first.
SCHEMAS: tuple[Schema, ...] = (LOGIN_EVENT_V1, RAW_WRITE_V1)

# Registry ids (Confluent framing) are configured as standing for one of these versions.
LOGIN_EVENT_SCHEMAS = {schema.version: schema for schema in SCHEMAS if schema.name == LOGIN_EVENT.name}
RAW_WRITE_SCHEMAS = {schema.version: schema for schema in SCHEMAS if schema.name == RAW_WRITE.name}
