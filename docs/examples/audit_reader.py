"""Print every record of the topics as one JSON line and say on stderr, at the end, which sequence numbers are missing.

    python audit_reader.py SERVERS GROUP DIRECTORY_OF_AVSC_FILES lastlogin.events lastlogin.quarantine

Needs confluent-kafka, fastavro and crc32c. Both topics: events and quarantine share one numbering.
"""

import io
import json
import signal
import sys
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer
from crc32c import crc32c
from fastavro import parse_schema, schemaless_reader
from fastavro.schema import fingerprint, to_parsing_canonical_form


servers, group, directory, *topics = sys.argv[1:]
seen: dict[str, tuple[int, int, set[int]]] = {}
schemas = {}
for path in Path(directory).glob("*.avsc"):
    schema = json.loads(path.read_text("utf-8"))
    schemas[bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))] = parse_schema(schema)


def decode(value: bytes, headers: dict[str, bytes]) -> dict[str, Any]:
    """Fields of a value in single-object encoding: C3 01, the schema's fingerprint, the body."""
    if value[:2] != b"\xc3\x01":
        raise ValueError("not in single-object encoding")
    body = io.BytesIO(value[10:])
    if "crc32c" in headers and crc32c(value[10:]) != int(headers["crc32c"], 16):
        raise ValueError("the body does not match its crc32c header")
    fields = schemaless_reader(body, schemas[value[2:10]], None)
    if body.read(1):
        raise ValueError("bytes after the message")
    return fields


def note(origin: bytes) -> None:
    """Keep, for each backend/epoch, the lowest and the highest sequence and those missing between them."""
    stream, _, text = origin.decode().rpartition("/")
    number = int(text)
    low, high, missing = seen.setdefault(stream, (number, number, set()))
    if not low - 1_000_000 < number < high + 1_000_000:
        raise ValueError("origin jumps by a million: not counted")
    missing.update(range(high + 1, number), range(number + 1, low))  # one of both is empty
    missing.discard(number)
    seen[stream] = min(low, number), max(high, number), missing


signal.signal(signal.SIGTERM, signal.default_int_handler)
settings = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.offset.store": False}
consumer = Consumer({"bootstrap.servers": servers, **settings})
consumer.subscribe(topics)
try:
    while True:
        if (message := consumer.poll(0.5)) is None:
            continue
        if message.error():
            print(message.error(), file=sys.stderr)  # librdkafka reconnects and tries again by itself
            continue
        line = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
        headers = dict(message.headers() or [])
        try:
            if "origin" in headers:
                note(headers["origin"])
            line |= decode(message.value(), headers)
        except Exception as error:  # an auditor reports a bad record and reads on
            line["undecodable"] = repr(error)
        print(json.dumps(line, default=str), flush=True)
        consumer.store_offsets(message)  # committed in the background: at least once
except KeyboardInterrupt:
    print(json.dumps({"missing": {stream: sorted(m) for stream, (_, _, m) in seen.items() if m}}), file=sys.stderr)
finally:
    consumer.close()
