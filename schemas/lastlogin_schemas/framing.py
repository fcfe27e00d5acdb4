"""How a Kafka value says which schema its Avro body was written with.

Two framings are in use; the first byte tells them apart:

    C3 01 <8 bytes fingerprint, little-endian> <body>     Avro single-object encoding, the default
    00    <4 bytes schema id, big-endian>      <body>     Confluent wire format, when an id is pinned
"""

from collections.abc import Mapping

from lastlogin_schemas.errors import Undecodable
from lastlogin_schemas.schema import SCHEMAS, Schema


_SINGLE_OBJECT = b"\xc3\x01"
_SINGLE_OBJECT_BYTES = 10
_CONFLUENT = b"\x00"
_CONFLUENT_BYTES = 5
_BY_FINGERPRINT = {schema.fingerprint: schema for schema in SCHEMAS}


def prefix(schema: Schema, confluent_id: int | None = None) -> bytes:
    """Bytes to put before a body of `schema`; with `confluent_id` in Confluent's wire format."""
    if confluent_id is None:
        return _SINGLE_OBJECT + schema.fingerprint
    return _CONFLUENT + confluent_id.to_bytes(4, "big")


def split(value: bytes, confluent_ids: Mapping[int, Schema]) -> tuple[Schema, bytes]:
    """Take a Kafka value apart into its writer's schema and the Avro body.

    `confluent_ids` names the schema of each pinned registry id. Raises `Undecodable` with `unknown_framing` or
    `unknown_schema`.
    """
    if value[:2] == _SINGLE_OBJECT and len(value) >= _SINGLE_OBJECT_BYTES:
        fingerprint = value[2:_SINGLE_OBJECT_BYTES]
        if (schema := _BY_FINGERPRINT.get(fingerprint)) is None:
            raise Undecodable("unknown_schema", f"no schema has the fingerprint {fingerprint.hex()}")
        return schema, value[_SINGLE_OBJECT_BYTES:]
    if value[:1] == _CONFLUENT and len(value) >= _CONFLUENT_BYTES:
        schema_id = int.from_bytes(value[1:_CONFLUENT_BYTES], "big")
        if (schema := confluent_ids.get(schema_id)) is None:
            raise Undecodable("unknown_schema", f"schema id {schema_id} is not among the configured ones")
        return schema, value[_CONFLUENT_BYTES:]
    raise Undecodable("unknown_framing", f"the value starts with {value[:2].hex() or 'nothing'}")
