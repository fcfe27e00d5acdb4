"""Our Avro encoding, held against fastavro's."""

from io import BytesIO

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lastlogin_schemas import avro, codec
from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.schema import LOGIN_EVENT


longs = st.integers(-(2**63), 2**63 - 1)
events = st.builds(
    LoginEvent,
    user=st.text(),
    service=st.text(),
    login_at_us=longs,
    remote_ip=st.none() | st.text(),
    attributes=st.dictionaries(st.text(), st.text(), max_size=3),
    backend=st.text(),
    dict_name=st.text(),
    dict_key=st.text(),
    event_id=st.text(),
    received_at_us=longs,
    epoch=longs,
    sequence=longs,
)


def written(schema: object, value: object) -> bytes:
    """What fastavro writes."""
    out = BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


@given(longs)
@example(-(2**63))
@example(2**63 - 1)
@example(63)
@example(64)
@example(8191)
@example(8192)
def test_longs(value: int) -> None:
    """A long is encoded as fastavro encodes it."""
    assert written("long", value) == avro.long(value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_longs_have_64_bits(value: int) -> None:
    """What no reader could hold is refused."""
    with pytest.raises(OverflowError):
        avro.long(value)


@given(events)
@example(LoginEvent(user="u" * 64, service="imap", login_at_us=0))
def test_events(event: LoginEvent) -> None:
    """Any event is encoded as fastavro encodes it."""
    fields = event._asdict() | {"login_at": event.login_at_us // 1000}

    assert written(LOGIN_EVENT.runtime, fields) == codec.encode_login_event(event)
