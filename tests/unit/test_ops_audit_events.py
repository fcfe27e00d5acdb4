"""What an audit reads in a record, held against the consumer's own reading."""

import pytest

from lastlogin_consumer.decode import Decoder
from lastlogin_consumer.decode import Login as Written
from lastlogin_ops.audit.events import COLUMNS, Login, letter_in, login_in
from lastlogin_ops.audit.verdicts import PENDING, REFUSED
from lastlogin_schemas.codec import encode_login_event
from lastlogin_schemas.errors import Undecodable
from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.framing import prefix
from lastlogin_schemas.headers import message_headers
from lastlogin_schemas.schema import LOGIN_EVENT
from lastlogin_schemas.table import AddressType
from tests.support.logins import AT_US, LOGIN, message, record


EVENTS = [
    LOGIN,
    LOGIN._replace(remote_ip=None),
    LOGIN._replace(remote_ip="2001:db8::1", service="lmtp"),
    LOGIN._replace(remote_ip="::ffff:192.0.2.9"),
    LOGIN._replace(user="ü" * 100, service="x" * 64),
]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("address_type", COLUMNS)
def test_as_the_consumer_reads_it(event: LoginEvent, address_type: AddressType, *, checked: bool) -> None:
    """User, service, time and address are those that the consumer writes, with a checksum and without."""
    value, headers = message(event)
    headers = headers if checked else []

    written = Decoder({}, 300, address_type).decode(record(value, headers))

    assert isinstance(written, Written)
    found = login_in(value, headers, {}, COLUMNS[address_type])
    assert found == Login(written.user.encode(), written.service.encode(), written.login_at_us, written.address)
    assert found.login_at_us == AT_US


def test_registry_ids() -> None:
    """A value in Confluent's framing is read by the configured ids."""
    body = encode_login_event(LOGIN)

    assert login_in(prefix(LOGIN_EVENT, 7) + body, message_headers(body, "m", 1, 1), {7: LOGIN_EVENT}).user == b"test1"


def test_records_that_are_no_logins() -> None:
    """Nothing, damage, another framing, a body that is no UTF-8 and an address that is none are refused."""
    value, headers = message(LOGIN)
    body = encode_login_event(LOGIN)
    foreign = body.replace(b"test1", b"\xff\xff\xff\xff\xff")
    no_address = encode_login_event(LOGIN._replace(remote_ip="nowhere!!"))
    for each, with_headers, reason in (
        (None, headers, "null_value"),
        (value[:-1], headers, "checksum_mismatch"),
        (b"{}", (), "unknown_framing"),
        (prefix(LOGIN_EVENT) + foreign, message_headers(foreign, "m", 1, 1), "malformed_avro"),
        (prefix(LOGIN_EVENT) + no_address, message_headers(no_address, "m", 1, 1), "out_of_range"),
    ):
        with pytest.raises(Undecodable) as refused:
            login_in(each, with_headers, {})
        assert refused.value.reason == reason


def test_dead_letters() -> None:
    """The last headers of a name tell the topic, partition and offset; a letter of another topic is none of ours."""
    story = [("topic", b"events"), ("partition", b"3"), ("offset", b"17")]

    assert letter_in([("offset", b"1"), *story], "events") == (3, 17, PENDING)
    assert letter_in([*story, ("reason", b"future")], "events") == (3, 17, PENDING)
    assert letter_in([*story, ("reason", b"refused")], "events") == (3, 17, REFUSED)
    assert letter_in(story, "others") is None
    assert letter_in(story[:2], "events") is None
    for offset in (None, b"x", b"-1", b"9" * 19, b"9" * 5_000):
        assert letter_in([*story, ("offset", offset)], "events") is None
