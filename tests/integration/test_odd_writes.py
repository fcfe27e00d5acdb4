"""Cases 20 to 22: odd users, keys and values through a real producer, to where each of them ends up in Kafka."""

import socket
from pathlib import Path

from lastlogin_schemas import codec, framing
from lastlogin_schemas.event import LoginEvent, RawWrite
from lastlogin_stack.layout import Layout
from tests.support.backend import kafka_settings
from tests.support.producer import ProducerProcess
from tests.support.publisher import OutTopics
from tests.support.tabescape import escape


NOW = b"1795387910161"
LONGEST = "l" * 4_096

# Each user once. Address as in the key, and as it is recorded.
LOGINS = {
    "a/b@x": ("192.0.2.1", "192.0.2.1"),
    "x@y@z": ("2001:db8::1", "2001:db8::1"),
    "%u": ("2001:DB8:0::1", "2001:db8::1"),
    LONGEST: ("192.0.2.1", "192.0.2.1"),
    " two  blanks ": ("192.0.2.1", "192.0.2.1"),
    "😀@example.org": ("::ffff:1.2.3.4", "1.2.3.4"),
    "..": ("", None),
    "';DROP TABLE dovecot_stats": (None, None),
    "tab\there": ("192.0.2.1", "192.0.2.1"),
    "line\nfeed\r": ("192.0.2.1", "192.0.2.1"),
    "escape\x01\x011": (None, None),
    "a/192.0.2.9": ("192.0.2.1", "192.0.2.1"),
    "a": ("192.0.2.9", "192.0.2.9"),
}
# User, key and value of what is no login, and why.
OTHERS: list[tuple[bytes, bytes, bytes, str]] = [
    (b"not-an-ip", b"shared/last-login/imap/not-an-ip/not-an-ip", NOW, "bad_address"),
    (b"mismatch", b"shared/last-login/imap/a", NOW, "key_mismatch"),
    (b"mismatch-begin", b"shared/last-login/imap/mismatch-beginning", NOW, "key_mismatch"),
    (b"priv", b"priv/last-login/imap/priv", NOW, "bad_key"),
    (b"prefix", b"shared/elsewhere/imap/prefix", NOW, "bad_key"),
    (b"\xff", b"shared/last-login/imap/\xff", NOW, "bad_user"),
    (b"nul\0", b"shared/last-login/imap/nul\0", NOW, "bad_user"),
    *(
        (b"value%d" % number, b"shared/last-login/imap/value%d" % number, value, "bad_value")
        for number, value in enumerate((b"", b"abc", b"-1", b"0", b"1e9", b"9" * 40, b"9223372036854775807"))
    ),
]


def reply_to(path: Path, user: bytes, key: bytes, value: bytes) -> bytes:
    """Reply line to one write, escaped as Dovecot does."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(
            b"H3\t2\t0\t\tstatsdb\nB1\t%b\nS1\t%b\t%b\nC1\n" % (escape(user), escape(key), escape(value))
        )
        return connection.makefile("rb").readline()


def bodies(topics: OutTopics, topic: str) -> list[LoginEvent | RawWrite]:
    """What is on a topic; each message's key must be its user."""
    found: list[LoginEvent | RawWrite] = []
    for record in topics.records(topic):
        writer, body = framing.split(record.value, {})
        message: LoginEvent | RawWrite
        if topic == topics.events:
            message = codec.decode_login_event(body, writer)
            assert record.key == message.user.encode()
        else:
            message = codec.decode_raw_write(body, writer)
            assert record.key == message.user
        found.append(message)
    return found


def test_odd_writes(topics: OutTopics, stack: Layout, tmp_path: Path) -> None:
    """Each is answered `O`; a login is the very user's, what is none goes to the quarantine with its reason."""
    with ProducerProcess(tmp_path, **kafka_settings(stack, topics)) as producer:
        producer.serve()
        for user, (ip, _) in LOGINS.items():
            key = f"shared/last-login/imap/{user}" + ("" if ip is None else f"/{ip}")
            assert b"O1\n" == reply_to(producer.socket, user.encode(), key.encode(), NOW), user
        for name, key_, value, _ in OTHERS:
            assert b"O1\n" == reply_to(producer.socket, name, key_, value), name
        assert 0 == producer.stop()
    events = [each for each in bodies(topics, topics.events) if isinstance(each, LoginEvent)]
    raw = [each for each in bodies(topics, topics.quarantine) if isinstance(each, RawWrite)]

    assert {user: address for user, (_, address) in LOGINS.items()} == {e.user: e.remote_ip for e in events}
    assert len(LOGINS) == len(events)
    assert {(user, key, value, reason) for user, key, value, reason in OTHERS} == {
        (each.user, *each.entries[0], each.reason) for each in raw
    }
    assert len(OTHERS) == len(raw)
