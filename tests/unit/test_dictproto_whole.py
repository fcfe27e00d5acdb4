"""A login that comes whole is read as `DictConnection` reads it, or not at all."""

from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lastlogin_producer.dictproto import DictConnection, Limits, WholeLogins


NAMES = {b"statsdb": "statsdb", b"other": "second"}
WHOLE = WholeLogins(NAMES, Limits().sets)
DOVECOT_2_3 = b"H3\t2\t0\t\tstatsdb\nB1\ttest1\nS1\tshared/last-login/imap/test1\t1795387910161\nC1\n"
DOVECOT_2_4_5 = (
    b"H4\t0\t0\t\tother\nB7\tu\t0\nS7\tshared/last-login/imap/u/access\t1795387910\nS7\tshared/ip\t192.0.2.1\nC7\n"
)

hellos = st.sampled_from(
    [b"H3\t2\t0\t\tstatsdb", b"H4\t0\t0\t\tother", b"H2\t0\t0\tu\tstatsdb", b"H4\t0\t0\t\tno", b"H3"]
)
ids = st.sampled_from([b"1", b"1", b"1", b"2", b"4294967295", b"4294967296", b"999999999", b"", b"x", b"01"])
fields = st.sampled_from([b"", b"u", b"a/b@x", b"\x011", b"\xff", b"shared/last-login/imap/u", b"1795387910161"])
lines = st.tuples(
    st.sampled_from([b"B", b"S", b"S", b"C", b"T", b"U", b"R", b"H"]), ids, st.lists(fields, max_size=3)
).map(lambda parts: b"\t".join([parts[0] + parts[1], *parts[2]]))


def agrees(data: bytes) -> bool:
    """Check `data` against the whole protocol; whether it was taken for a whole login."""
    write = WHOLE.read(data)
    if write is None:
        return False
    connection = DictConnection(NAMES, Limits())
    assert [write] == list(connection.receive_data(data))
    assert b"" == connection.data_to_send()
    assert not any((connection.line_unfinished, connection.transaction_open, connection.input_waiting))
    return True


@pytest.mark.parametrize("login", [DOVECOT_2_3, DOVECOT_2_4_5])
def test_what_dovecot_sends_is_recognized(login: bytes) -> None:
    """Logins of Dovecot 2.3 and of 2.4.5 with further fields come whole."""
    assert agrees(login)


@given(hellos, st.lists(lines, max_size=6), st.sampled_from([b"\n", b"", b"\n\n", b"\nB2"]))
@example(b"H3\t2\t0\t\tstatsdb\textra", [b"B1\tu\textra", b"S1\tk\tv", b"C1"], b"\n")
def test_it_is_never_read_otherwise(hello: bytes, commands: list[bytes], end: bytes) -> None:
    """Whatever is taken for a whole login is one write to `DictConnection` too, the same, with nothing left over."""
    agrees(b"\n".join([hello, *commands]) + end)


def test_damaged_logins_are_never_read_otherwise() -> None:
    """The same with single bytes of real logins changed, removed or repeated."""
    rng = Random(6)  # noqa: S311 - repeatable
    taken = 0
    for _ in range(5_000):
        data = bytearray(rng.choice([DOVECOT_2_3, DOVECOT_2_4_5]))
        at = rng.randrange(len(data))
        match rng.randrange(3):
            case 0:
                data[at] = rng.choice(b"\t\n\x01\x001BSCHx")
            case 1:
                del data[at]
            case _:
                data[at:at] = data[at : at + rng.randrange(1, 20)]
        taken += agrees(bytes(data))

    assert 500 < taken < 4_500


@pytest.mark.parametrize(
    "data",
    [
        b"",
        DOVECOT_2_3[:-1],
        DOVECOT_2_3.replace(b"test1\n", b"\x01\x01\n", 1),
        DOVECOT_2_3.replace(b"H3", b"H2"),
        DOVECOT_2_3.replace(b"statsdb", b"unknown"),
        DOVECOT_2_3.replace(b"C1", b"C2"),
        DOVECOT_2_3.replace(b"C1", b"D1"),
        DOVECOT_2_3.replace(b"S1", b"U1"),
        DOVECOT_2_3.replace(b"1\t", b"4294967295\t").replace(b"C1", b"C4294967295"),
        DOVECOT_2_3.replace(b"S1", b"S1\tk\tv\n" * 64 + b"S1"),
    ],
)
def test_the_rest_is_for_the_whole_protocol(data: bytes) -> None:
    """Quoting, other majors, other dicts, other commands and what is beyond a limit are left to `DictConnection`."""
    assert WHOLE.read(data) is None
