"""A message as the spool keeps it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastlogin_producer.spool.row import Kind, checksum, unnumbered_body
from lastlogin_schemas import avro
from lastlogin_schemas.codec import decode_login_event, decode_raw_write
from lastlogin_schemas.event import RawWrite
from lastlogin_schemas.schema import LOGIN_EVENT, RAW_WRITE
from tests.support.logins import LOGIN


LONGS = st.integers(min_value=0, max_value=2**62)
WRITE = RawWrite(b"\xff", "bad_user", "detail", "statsdb", ((b"key", b"value"),), "mail1", 5)


@given(epoch=LONGS, sequence=LONGS)
def test_numbers_are_appended_to_a_login(epoch: int, sequence: int) -> None:
    """An encoded login followed by its numbers is the encoded login with these numbers."""
    kind, body = unnumbered_body(LOGIN._replace(epoch=0, sequence=0))

    assert Kind.LOGIN_EVENT == kind
    expected = LOGIN._replace(epoch=epoch, sequence=sequence)
    assert expected == decode_login_event(body + avro.long(epoch) + avro.long(sequence), LOGIN_EVENT)


@given(epoch=LONGS, sequence=LONGS)
def test_numbers_are_appended_to_a_quarantined_write(epoch: int, sequence: int) -> None:
    """The same holds for what goes to the quarantine."""
    kind, body = unnumbered_body(WRITE)

    assert Kind.RAW_WRITE == kind
    expected = WRITE._replace(epoch=epoch, sequence=sequence)
    assert expected == decode_raw_write(body + avro.long(epoch) + avro.long(sequence), RAW_WRITE)


def test_a_numbered_message_is_refused() -> None:
    """Only the spool gives out numbers."""
    with pytest.raises(ValueError, match="without them"):
        unnumbered_body(LOGIN)


@given(body=st.binary(min_size=1, max_size=300), bit=st.integers(min_value=0))
def test_the_checksum_covers_kind_and_body(body: bytes, bit: int) -> None:
    """One flipped bit anywhere in kind or body changes the checksum."""
    row = bytearray([Kind.LOGIN_EVENT, *body])
    row[bit // 8 % len(row)] ^= 1 << bit % 8

    assert checksum(Kind.LOGIN_EVENT, body) != checksum(row[0], bytes(row[1:]))
