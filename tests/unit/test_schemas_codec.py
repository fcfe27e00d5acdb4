"""The contract on the wire: golden bytes that never change, and what is refused."""

import io
import json
from pathlib import Path

import crc32c
import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lastlogin_schemas import codec, framing, headers, schema
from lastlogin_schemas.errors import Undecodable
from lastlogin_schemas.event import MAX_LOGIN_AT_US, MIN_LOGIN_AT_US, LoginEvent, RawWrite, event_id


GOLDEN = Path(__file__).parents[1] / "data" / "events"

EVENT = LoginEvent(
    user="test1",
    service="imap",
    login_at_us=1_795_387_910_161_234,
    remote_ip="192.0.2.1",
    attributes={"client": "Büro"},
    backend="mail1.example.org",
    dict_name="statsdb",
    dict_key="shared/last-login/imap/test1/192.0.2.1",
    event_id="00112233445566778899aabbccddeeff",
    received_at_us=1_795_387_910_162_000,
    epoch=1_795_000_000_000_000,
    sequence=42,
)
RAW = RawWrite(
    user=b"\xfftest",
    reason="bad_user",
    detail="the user is not UTF-8",
    dict_name="statsdb",
    entries=((b"shared/last-login/imap/\xfftest", b"1795387910"),),
    backend="mail1.example.org",
    received_at_us=1_795_387_910_162_000,
    epoch=1_795_000_000_000_000,
    sequence=43,
)

users = st.text(min_size=1, max_size=60).filter(lambda s: "\x00" not in s and s.isprintable())
events = st.builds(
    LoginEvent,
    user=users,
    service=st.sampled_from(["imap", "pop3", "lmtp", "webmail", "x" * 64]),
    login_at_us=st.integers(MIN_LOGIN_AT_US, MAX_LOGIN_AT_US - 1),
    remote_ip=st.none() | st.ip_addresses().map(str),
    attributes=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    received_at_us=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 2**63 - 1),
    sequence=st.integers(0, 2**63 - 1),
)


def test_login_event_golden_bytes() -> None:
    """The body of a LoginEvent v1 is, byte for byte, what the first release wrote."""
    golden = bytes.fromhex((GOLDEN / "login_event.v1.hex").read_text())

    assert golden == framing.prefix(schema.LOGIN_EVENT_V1) + codec.encode_login_event(EVENT)


def test_login_event_golden_bytes_are_read() -> None:
    """Today's reader reads the first release's bytes."""
    golden = bytes.fromhex((GOLDEN / "login_event.v1.hex").read_text())

    writer, body = framing.split(golden, {})

    assert EVENT == codec.decode_login_event(body, writer)


def test_raw_write_golden_bytes() -> None:
    """The body of a RawWrite v1 is, byte for byte, what the first release wrote, and is read back."""
    golden = bytes.fromhex((GOLDEN / "raw_write.v1.hex").read_text())

    writer, body = framing.split(golden, {})

    assert golden == framing.prefix(schema.RAW_WRITE_V1) + codec.encode_raw_write(RAW)
    assert RAW == codec.decode_raw_write(body, writer)


def test_published_schema_reads_our_bytes() -> None:
    """A subscriber with nothing but the .avsc file decodes the body; login_at is a timestamp to it."""
    path = Path(schema.__file__).parent / "avsc" / "login_event.v1.avsc"
    published = fastavro.parse_schema(json.loads(path.read_text()))

    record = fastavro.schemaless_reader(io.BytesIO(codec.encode_login_event(EVENT)), published, None)

    assert EVENT.login_at_us // 1000 == round(record["login_at"].timestamp() * 1000)
    assert EVENT._asdict() == {k: v for k, v in record.items() if k != "login_at"}


def test_every_field_is_documented() -> None:
    """Every field of every schema has a `doc`; all but the row's first four have a default."""
    for known in schema.SCHEMAS:
        assert all(field["doc"] for field in known.definition["fields"])
    without_default = [f["name"] for f in schema.LOGIN_EVENT.definition["fields"] if "default" not in f]

    assert ["user", "service", "login_at", "login_at_us", "backend"][:4] == without_default


def test_fingerprints_are_those_of_the_avro_specification() -> None:
    """Single-object encoding starts with C3 01 and CRC-64-AVRO of the canonical form, little-endian."""
    assert "c3013fd942e2cbe620da" == framing.prefix(schema.LOGIN_EVENT_V1).hex()
    assert _crc64_avro(fastavro.schema.to_parsing_canonical_form(schema.LOGIN_EVENT_V1.definition).encode()) == (
        int.from_bytes(schema.LOGIN_EVENT_V1.fingerprint, "little")
    )


def _crc64_avro(data: bytes) -> int:
    """The specification's own bit-by-bit definition, as an independent check."""
    empty = 0xC15D213AA4D7A795
    value = empty
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (empty if value & 1 else 0)
    return value


@given(events)
def test_round_trip(event: LoginEvent) -> None:
    """Every event in range survives encoding in both framings, and its key is its user."""
    body = codec.encode_login_event(event)
    for confluent_id in (None, 7):
        value = framing.prefix(schema.LOGIN_EVENT, confluent_id) + body
        writer, rest = framing.split(value, {7: schema.LOGIN_EVENT})

        assert event == codec.decode_login_event(rest, writer)
    assert event.user.encode() == codec.message_key(body)


@given(st.binary(max_size=300))
@example(b"u" * 300)
def test_message_key_of_raw_writes(user: bytes) -> None:
    """The key of a quarantined write is its user, byte for byte, whatever its length."""
    body = codec.encode_raw_write(RawWrite(user=user, reason="bad_user"))

    assert user == codec.message_key(body)


@given(st.binary(max_size=200))
@example(codec.encode_login_event(EVENT)[:-1])
@example(codec.encode_login_event(EVENT) + b"\x00")
def test_arbitrary_bytes_raise_only_undecodable(data: bytes) -> None:
    """Damaged bodies are refused with a documented reason, or decode to values within range."""
    try:
        event = codec.decode_login_event(data, schema.LOGIN_EVENT)
    except Undecodable:
        return
    assert MIN_LOGIN_AT_US <= event.login_at_us < MAX_LOGIN_AT_US


def test_every_flipped_bit_is_caught_by_the_checksum() -> None:
    """No single damaged bit of a body passes its crc32c header."""
    body = codec.encode_login_event(EVENT)
    made = headers.message_headers(body, "mail1", 5, 6)
    for bit in range(8 * len(body)):
        damaged = bytearray(body)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Undecodable, match="checksum_mismatch"):
            headers.verify_checksum(bytes(damaged), made)


def test_headers_are_text() -> None:
    """crc32c is 8 lower-case hexadecimal digits; origin is backend/epoch/sequence."""
    made = dict(headers.message_headers(b"123456789", "mail/1", 5, 6))

    assert {"crc32c": b"e3069283", "origin": b"mail/1/5/6"} == made
    assert 0xE3069283 == crc32c.crc32c(b"123456789")


def test_a_record_without_checksum_is_unchecked() -> None:
    """A foreign producer's record without our header is reported as not checked, not refused."""
    assert not headers.verify_checksum(b"x", [("origin", b"a/1/2")])
    assert headers.verify_checksum(b"123456789", [("crc32c", b"e3069283")])


def test_a_checksum_that_is_no_number_is_malformed() -> None:
    """A crc32c header that is not hexadecimal is refused as malformed_header."""
    with pytest.raises(Undecodable, match="malformed_header"):
        headers.verify_checksum(b"x", [("crc32c", b"zz")])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "unknown_framing"),
        (b"\xc3", "unknown_framing"),
        (b"\xc3\x01short", "unknown_framing"),
        (b"{}", "unknown_framing"),
        (b"\xc3\x01" + bytes(8) + b"x", "unknown_schema"),
        (b"\x00\x00\x00\x00\x09x", "unknown_schema"),
    ],
)
def test_framing_refuses(value: bytes, reason: str) -> None:
    """A value that is in neither framing, or names an unknown schema, is refused with that reason."""
    with pytest.raises(Undecodable) as caught:
        framing.split(value, {7: schema.LOGIN_EVENT})

    assert reason == caught.value.reason


def test_a_message_of_the_other_kind_is_refused() -> None:
    """A RawWrite on the topic of events is unknown_schema, not an attempt to read it as an event."""
    with pytest.raises(Undecodable, match="a RawWrite where a LoginEvent belongs"):
        codec.decode_login_event(codec.encode_raw_write(RAW), schema.RAW_WRITE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"user": ""},
        {"user": "a\x00b"},
        {"user": "u" * 65_536},
        {"service": ""},
        {"service": "s" * 65},
        {"login_at_us": MIN_LOGIN_AT_US - 1},
        {"login_at_us": MAX_LOGIN_AT_US},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    """Values that no producer of ours writes do not become events."""
    body = codec.encode_login_event(EVENT._replace(**wrong))

    with pytest.raises(Undecodable, match="out_of_range"):
        codec.decode_login_event(body, schema.LOGIN_EVENT)


def test_two_times_that_disagree_are_refused() -> None:
    """login_at must be login_at_us rounded down to milliseconds."""
    out = io.BytesIO()
    record = EVENT._asdict() | {"login_at": 1_795_387_910_000}
    fastavro.schemaless_writer(out, schema.LOGIN_EVENT.runtime, record)

    with pytest.raises(Undecodable, match="not the same time"):
        codec.decode_login_event(out.getvalue(), schema.LOGIN_EVENT)


def test_event_id_for_a_log() -> None:
    """Only 32 hexadecimal digits go into a log, for anybody's record may have a user's name in their place."""
    sound = EVENT._replace(event_id="0123456789abcdef" * 2)
    found = [
        codec.readable_event_id(codec.encode_login_event(event), schema.LOGIN_EVENT)
        for event in (sound, EVENT._replace(event_id=EVENT.user), EVENT._replace(event_id=""))
    ]

    assert [sound.event_id, None, None] == found
    assert codec.readable_event_id(b"no event", schema.LOGIN_EVENT) is None


def test_event_id_depends_on_content_alone() -> None:
    """Copies of one write share the id; any other content has another, also across field borders."""
    content = {
        "backend": "b",
        "dict_name": "d",
        "user": "u",
        "service": "imap",
        "login_at_us": 1,
        "remote_ip": None,
        "dict_key": "k",
        "attributes": {"x": "1", "y": "2"},
    }
    one = event_id(**content)

    assert "349772f6cb4ca3ba3efbe7ee032cffda" == one
    assert one == event_id(**content | {"attributes": {"y": "2", "x": "1"}})
    assert one != event_id(**content | {"user": "ui", "service": "map"})
    assert one != event_id(**content | {"remote_ip": "192.0.2.1"})
