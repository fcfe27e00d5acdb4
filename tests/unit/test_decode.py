"""From records to logins, and what is poison."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastlogin_consumer.decode import POISON_REASONS, Decoder, Login, MappedDecoder, Poison
from lastlogin_schemas import codec, framing
from lastlogin_schemas.errors import UNDECODABLE_REASONS
from lastlogin_schemas.event import RawWrite
from lastlogin_schemas.headers import CHECKSUM, message_headers
from lastlogin_schemas.schema import LOGIN_EVENT, RAW_WRITE
from tests.support.logins import AT_US, LOGIN, event_record, login, message, record
from tests.support.scale import scale, seeded


DECODER = Decoder({7: LOGIN_EVENT}, future_limit_s=300)
VALUE, HEADERS = message(LOGIN)
BODY = codec.encode_login_event(LOGIN)
PREFIX = framing.prefix(LOGIN_EVENT)


def _poison(value: bytes | None, headers: Any = (), **where: Any) -> Poison:
    decoded = DECODER.decode(record(value, headers, **where))
    assert isinstance(decoded, Poison)
    return decoded


def test_an_event_becomes_what_the_row_needs() -> None:
    """User, service, time and the address as the column holds it; the checksum was verified."""
    assert Login("test1", "imap", AT_US, bytes([192, 0, 2, 1]), checked=True, offset=0) == DECODER.decode(
        event_record(LOGIN)
    )


def test_no_address_is_no_bytes() -> None:
    """A login without an address has an empty one, not none."""
    decoded = DECODER.decode(event_record(login(ip=None)))

    assert isinstance(decoded, Login)
    assert b"" == decoded.address


def test_confluent_framing_with_a_configured_id() -> None:
    """A value in Confluent's framing is read when its schema id is configured."""
    decoded = DECODER.decode(record(framing.prefix(LOGIN_EVENT, 7) + BODY, HEADERS))

    assert decoded == DECODER.decode(event_record(LOGIN))


def test_a_record_without_checksum_is_read_and_told() -> None:
    """Another program's events need no header; that they were not checked is noted."""
    decoded = DECODER.decode(record(VALUE))

    assert isinstance(decoded, Login)
    assert not decoded.checked


@pytest.mark.parametrize(
    ("reason", "value", "headers"),
    [
        ("null_value", None, ()),
        ("unknown_framing", b"", ()),
        ("unknown_framing", b"not an event", ()),
        ("unknown_schema", framing.prefix(LOGIN_EVENT, 8) + BODY, ()),
        (
            "unknown_schema",
            framing.prefix(RAW_WRITE) + codec.encode_raw_write(RawWrite(user=b"x", reason="bad_key")),
            (),
        ),
        ("checksum_mismatch", VALUE, message_headers(BODY + b"x", "mail1", 1, 1)),
        ("malformed_header", VALUE, [(CHECKSUM, b"what")]),
        ("malformed_header", VALUE, [(CHECKSUM, None)]),
        ("malformed_avro", VALUE[:-3], ()),
        ("trailing_bytes", VALUE + b"x", ()),
        ("out_of_range", *message(login(user=""))),
        ("out_of_range", *message(login(ip="localhost"))),
        ("future", *message(login(at_us=AT_US + 300_001_000))),
    ],
)
def test_what_is_no_sound_event_is_poison(reason: str, value: bytes | None, headers: Any) -> None:
    """Each defect has its reason, and the detail tells neither user nor address."""
    poison = _poison(value, headers)

    assert reason == poison.reason
    assert poison.record.value is value
    assert "test1" not in poison.detail
    assert "192.0.2" not in poison.detail


def test_every_reason_is_one_of_the_contracts_or_ours() -> None:
    """The reasons are a closed set."""
    assert {*UNDECODABLE_REASONS, "future", "unmapped", "refused"} == set(POISON_REASONS)


def test_addresses_as_text() -> None:
    """Where the column is text a login has the address in canonical text, read by either way."""
    decoder = Decoder({}, 300, "text")
    found = [
        decoder.decode(each)
        for each in (event_record(login(ip="2001:db8::1")), record(VALUE), event_record(login(ip=None)))
    ]

    assert [b"2001:db8::1", b"192.0.2.1", b""] == [each.address for each in found if isinstance(each, Login)]


def test_services_without_columns_may_be_poison() -> None:
    """Where they are to be set aside a login of another service is; which there are is asked each time."""
    services = ["imap"]
    decoder = MappedDecoder({}, 300, "inet", lambda: services)
    found = decoder.decode(event_record(login(service="sieve")))

    assert isinstance(found, Poison)
    assert ("unmapped", "the table has no column for the service sieve") == (found.reason, found.detail)
    assert isinstance(decoder.decode(event_record(LOGIN)), Login)
    services.append("sieve")
    assert isinstance(decoder.decode(event_record(login(service="sieve"))), Login)


@pytest.mark.parametrize("ahead_us", [300_000_000, 0, -86_400_000_000])
def test_a_login_up_to_the_limit_ahead_is_written(ahead_us: int) -> None:
    """A clock may be 5 minutes ahead of Kafka's, or any time behind."""
    assert isinstance(DECODER.decode(event_record(login(at_us=AT_US + ahead_us))), Login)


@given(st.integers(0, 8 * len(VALUE) - 1))
def test_one_flipped_bit_is_always_found(bit: int) -> None:
    """No value with one wrong bit is taken for a login, wherever the bit is."""
    damaged = bytearray(VALUE)
    damaged[bit // 8] ^= 1 << bit % 8

    assert _poison(bytes(damaged), HEADERS).reason in ("unknown_framing", "unknown_schema", "checksum_mismatch")


@given(st.binary(max_size=300), st.lists(st.tuples(st.text(max_size=9), st.none() | st.binary(max_size=9)), max_size=3))
def test_arbitrary_bytes_never_raise(body: bytes, headers: list[tuple[str, bytes | None]]) -> None:
    """Whatever the value and the headers are, the answer is a login or poison."""
    for value in (body, PREFIX + body):
        assert isinstance(DECODER.decode(record(value, headers)), Login | Poison)


# Values as producers write them: with and without an address, with attributes, in either framing.
REAL = (
    LOGIN,
    login("test2@example.org", AT_US + 1, service="lmtp"),
    login("z\u00f6e@example.org", AT_US + 999, service="pop3", ip="2001:db8::7"),
    LOGIN._replace(attributes={"session": "a" * 200}, dict_key="shared/last-login/imap/test1", event_id="f" * 32),
)


def test_damage_never_makes_another_login() -> None:
    """Of 100,000 damaged values (in `make test` 10,000) none is taken for a login that says anything else."""
    rng, seed = seeded()
    values = [
        (prefix + value[len(PREFIX) :], headers)
        for value, headers in map(message, REAL)
        for prefix in (PREFIX, framing.prefix(LOGIN_EVENT, 7))
    ]
    originals = [(value, headers, DECODER.decode(record(value, headers))) for value, headers in values]
    poison = 0
    for _ in range(scale(100_000, 10_000)):
        value, headers, original = rng.choice(originals)
        damaged = bytearray(value)
        where = rng.randrange(len(value))
        match rng.randrange(3):
            case 0:
                damaged[where] ^= rng.randrange(1, 256)
            case 1:
                del damaged[where:]
            case _:
                damaged += rng.randbytes(rng.randrange(1, 20))
        decoded = DECODER.decode(record(bytes(damaged), headers))
        assert isinstance(decoded, Poison) or decoded == original, (seed, value, damaged)
        poison += isinstance(decoded, Poison)

    assert all(isinstance(original, Login) and original.checked for _, _, original in originals)
    assert scale(100_000, 10_000) == poison
