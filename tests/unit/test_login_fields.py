"""The short way to what the table needs, against the whole decoder."""

from hypothesis import example, given
from hypothesis import strategies as st

from lastlogin_schemas.address import canonical
from lastlogin_schemas.codec import decode_login_event, encode_login_event
from lastlogin_schemas.errors import Undecodable
from lastlogin_schemas.event import MAX_LOGIN_AT_US, MIN_LOGIN_AT_US, LoginEvent
from lastlogin_schemas.login_fields import login_fields
from lastlogin_schemas.schema import LOGIN_EVENT
from tests.support.logins import AT_US


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=80)
ADDRESSES = st.none() | st.ip_addresses().map(str).map(canonical)
EVENTS = st.builds(
    LoginEvent,
    user=TEXT,
    service=TEXT.filter(lambda text: len(text.encode()) <= 64),
    login_at_us=st.integers(MIN_LOGIN_AT_US, MAX_LOGIN_AT_US - 1),
    remote_ip=ADDRESSES,
    attributes=st.dictionaries(TEXT, TEXT, max_size=2),
    dict_key=TEXT,
    backend=TEXT,
    dict_name=TEXT,
    event_id=TEXT,
    received_at_us=st.integers(0, 2**63 - 1),
    epoch=st.just(1),
    sequence=st.integers(0, 2**63 - 1),
)


@given(EVENTS)
@example(LoginEvent("u", "imap", 2_190_000_000_000_000))
@example(LoginEvent("u", "imap", 2_200_000_000_000_000))
def test_it_says_the_same_or_nothing(event: LoginEvent) -> None:
    """Short names of our time are read; whatever is read is what the decoder reads."""
    found = login_fields(encode_login_event(event))

    if found is not None:
        user, service, login_at_us, address = found
        ip = None if address is None else address.decode()
        assert (event.user, event.service, event.login_at_us, event.remote_ip) == (
            user.decode(),
            service.decode(),
            login_at_us,
            ip,
        )
    else:
        assert (
            max(len(event.user.encode()), len(event.service.encode())) > 63 or event.login_at_us > 2_199_000_000_000_000
        )


@given(st.data())
def test_damaged_bodies_are_read_alike_or_not_at_all(data: st.DataObject) -> None:
    """A body that the decoder refuses for one of these fields is none that the short way reads."""
    body = bytearray(encode_login_event(LoginEvent("user@example.org", "imap", AT_US, "192.0.2.1")))
    end = data.draw(st.integers(1, 60))
    at = data.draw(st.integers(0, 44))
    body[at] = data.draw(st.integers(0, 255))
    damaged = bytes(body if data.draw(st.booleans()) else body[:end])
    found = login_fields(damaged)
    if found is None:
        return
    user, service, login_at_us, address = found
    try:
        event = decode_login_event(damaged, LOGIN_EVENT)
    except Undecodable:
        # The rest of the body, a time in milliseconds that differs, or text that is none: the checksum's to find.
        return
    assert (event.user.encode(), event.service.encode(), event.login_at_us) == (user, service, login_at_us)
    assert event.remote_ip == (None if address is None else address.decode())


def test_what_ends_early_or_is_unusual_is_left_to_the_decoder() -> None:
    """Within the address, the time or a name; a long name; a time that ends early; an address of another branch."""
    body = encode_login_event(LoginEvent("user", "imap", AT_US, "192.0.2.1"))
    address = body.index(b"192.0.2.1")
    times = body.index(b"imap") + 4
    ends_early = bytearray(body)
    ends_early[times + 10] &= 0x7F
    other_branch = bytearray(body)
    other_branch[address - 2] = 4
    long_name = encode_login_event(LoginEvent("u" * 64, "imap", AT_US))

    assert login_fields(body) is not None
    cut = [body[: address + 5], body[: times + 3], body[: times + 9], body[:3]]
    assert [None] * 7 == [login_fields(bytes(each)) for each in (*cut, ends_early, other_branch, long_name)]


def test_nothing_is_read_of_what_no_producer_writes() -> None:
    """No body, an empty user or service, a NUL, a time out of bounds: the decoder has words for them."""
    good = LoginEvent("user", "imap", AT_US)
    bad = [
        good._replace(user=""),
        good._replace(service=""),
        good._replace(user="a\0"),
        good._replace(login_at_us=2**49 + 1),
    ]

    assert login_fields(encode_login_event(good)) is not None
    assert [None] * 5 == [login_fields(b""), *(login_fields(encode_login_event(event)) for event in bad)]
