"""`events.md`: what a subscriber must know, with the facts taken from the code."""

import json
from pathlib import Path
from typing import Any

from lastlogin_consumer.decode import POISON_REASONS
from lastlogin_ops.settings import WantedTopics
from lastlogin_schemas.schema import LOGIN_EVENT, RAW_WRITE, SCHEMAS, Schema


_HERE = Path(__file__).parent
_EXAMPLES = _HERE.parent / "examples"
# What each topic is for, in the order of `WantedTopics.specs`.
PURPOSES = (
    "logins and deliveries, `LoginEvent`",
    "writes that the producer could not understand, `RawWrite`",
    "records that our consumer could not use, as they were",
)


def events_page() -> str:
    """Text of the page."""
    text = (_HERE / "events.template.md").read_text("utf-8")
    parts = {
        "topics": _topics(),
        "fingerprints": _table("| schema | version | fingerprint, as on the wire |", map(_schema, SCHEMAS)),
        "LoginEvent": _fields(LOGIN_EVENT),
        "RawWrite": _fields(RAW_WRITE),
        "reasons": ", ".join(f"`{reason}`" for reason in POISON_REASONS),
        "python": (_EXAMPLES / "audit_reader.py").read_text("utf-8"),
        "java": (_EXAMPLES / "LoginSubscriber.java").read_text("utf-8"),
    }
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text


def type_in_words(node: Any) -> str:
    """Avro's type as people write it: `null or string`, `map of string`, `long (timestamp-millis)`."""
    if isinstance(node, list):
        return " or ".join(map(type_in_words, node))
    if not isinstance(node, dict):
        return str(node)
    if node["type"] == "map":
        return f"map of {type_in_words(node['values'])}"
    if node["type"] == "array":
        return f"array of {type_in_words(node['items'])}"
    if node["type"] == "record":
        fields = (f"{field['name']}: {type_in_words(field['type'])}" for field in node["fields"])
        return f"{node['name']} ({', '.join(fields)})"
    return f"{node['type']} ({node['logicalType']})"


def _topics() -> str:
    specs = WantedTopics().specs()
    rows = [
        f"| `{spec.name}` | {purpose} | {spec.partitions} | {spec.replication_factor} "
        f"| {int(spec.configs['retention.ms']) // 86_400_000} days | {spec.configs['max.message.bytes']} |"
        for spec, purpose in zip(specs, PURPOSES, strict=True)
    ]
    return _table("| topic | what is on it | partitions | copies | kept | largest batch in bytes |", rows)


def _schema(schema: Schema) -> str:
    return f"| {schema.name} | {schema.version} | `{schema.fingerprint.hex(' ').upper()}` |"


def _fields(schema: Schema) -> str:
    rows = []
    for field in schema.definition["fields"]:
        default = f"`{json.dumps(field['default'])}`" if "default" in field else ""
        rows.append(f"| `{field['name']}` | {type_in_words(field['type'])} | {default} | {field['doc']} |")
    return _table("| field | type | default | meaning |", rows)


def _table(head: str, rows: Any) -> str:
    return "\n".join((head, "|---" * (head.count("|") - 1) + "|", *rows))
