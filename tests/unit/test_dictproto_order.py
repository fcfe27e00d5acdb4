"""Replies in any order of outcomes, and bytes that are neither right nor quite wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastlogin_producer.dictproto import CommittedWrite, DictConnection, Limits, ProtocolViolation, Request
from lastlogin_producer.outcome import Outcome


NAMES = {b"statsdb": "statsdb"}
HELLO = b"H3\t2\t0\t\tstatsdb\n"
LETTERS = {Outcome.STORED: b"O", Outcome.FULL: b"F", Outcome.UNCONFIRMED: b"W"}


def _read(data: bytes, limits: Limits | None = None) -> tuple[DictConnection, list[Request]]:
    connection = DictConnection(NAMES, limits or Limits())
    return connection, list(connection.receive_data(HELLO + data))


@given(st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_outcomes_in_any_order(outcomes: list[Outcome], random: object) -> None:
    """However outcomes come in, every commit gets one reply, its own, and in the order of the commits."""
    connection, requests = _read(b"".join(b"B%d\tu\nS%d\tk\tv\nC%d\n" % (n, n, n) for n in range(len(outcomes))))
    writes = list(zip(requests, outcomes, strict=True))
    random.shuffle(writes)  # type: ignore[attr-defined]
    sent = b""
    for write, outcome in writes:
        assert isinstance(write, CommittedWrite)
        assert connection.reply(write, outcome)
        sent += connection.data_to_send()
        assert not connection.reply(write, Outcome.STORED)

    heads = [line.split(b"\t")[0] for line in sent.splitlines()]
    assert [LETTERS[outcome] + b"%d" % n for n, outcome in enumerate(outcomes)] == heads


@pytest.mark.parametrize(
    ("outcome", "reply"), [(Outcome.STORED, b"AO1\n"), (Outcome.FULL, b"AF1\n"), (Outcome.UNCONFIRMED, b"AF1\n")]
)
def test_asynchronous_replies_carry_no_text(outcome: Outcome, reply: bytes) -> None:
    """Text behind an `AF` makes an old client wait for ever, and it has no `AW`."""
    connection = DictConnection(NAMES, Limits())
    [write] = connection.receive_data(b"H2\t0\t0\tu\tstatsdb\nB1\nS1\tk\tv\nD1\n")
    assert isinstance(write, CommittedWrite)
    connection.reply(write, outcome)

    assert reply == connection.data_to_send()


def test_a_cr_is_no_line_end() -> None:
    """Dovecot ends lines with LF alone; whoever sends CRLF is not Dovecot, and a name with CR is not the dict's."""
    connection = DictConnection(NAMES, Limits())

    assert [ProtocolViolation("unknown_dict")] == list(connection.receive_data(HELLO.replace(b"\n", b"\r\n")))
    assert [ProtocolViolation("bad_transaction_id")] == _read(b"C1\r\n")[1]


def test_what_a_field_may_hold() -> None:
    """NUL, CR and bytes that are no UTF-8 are a user's or a key's own business; a lone escape at the end vanishes."""
    [write] = _read(b"B1\ta\x00\r\xff\nS1\tk\x010\tv\x01\nC1\n")[1]

    assert isinstance(write, CommittedWrite)
    assert (b"a\x00\r\xff", ((b"k\x00", b"v"),)) == (write.user, write.entries)


@pytest.mark.parametrize(("length", "taken"), [(65_536, True), (65_537, False)])
def test_the_longest_line(length: int, taken: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A line of 65,536 bytes is taken, one byte more is not."""
    line = b"S1\tk\t"
    requests = _read(b"B1\tu\n" + line + b"v" * (length - len(line)) + b"\nC1\n")[1]

    assert isinstance(requests[0], CommittedWrite if taken else ProtocolViolation)


def test_open_transactions_share_one_limit() -> None:
    """Many transactions cannot keep more than one could; the limit is free again when all have ended."""
    limits = Limits(open_bytes=1_000)
    fill = b"B%d\tu\nS%d\tk\t" + b"v" * 300 + b"\n"
    connection, _ = _read(fill % (1, 1) + fill % (2, 2), limits)
    first, *_ = connection.receive_data(b"C1\nC2\n")
    assert isinstance(first, CommittedWrite)
    connection.reply(first, Outcome.STORED)
    assert b"O1\nF2\ttransaction too large\n" == connection.data_to_send()

    [write] = connection.receive_data(fill % (3, 3) + b"C3\n")
    assert isinstance(write, CommittedWrite)
