"""Dovecot's dict protocol without I/O: whole, byte by byte, with trailing bytes, and with garbage."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastlogin_producer.dictproto import (
    CommittedWrite,
    DictConnection,
    Limits,
    ProtocolViolation,
    Refusal,
    Request,
    reply_line,
)
from lastlogin_producer.dictproto.tabescape import unescape
from lastlogin_producer.outcome import Outcome
from tests.support.tabescape import escape


TRANSCRIPTS = Path(__file__).parents[1] / "data" / "dict"
NAMES = {b"statsdb": "statsdb", b"a\tb": "a b"}
HELLO = b"H3\t2\t0\t\tstatsdb\n"
LOGIN = b"B1\ttest1\nS1\tshared/last-login/imap/test1\t1795387910161\nC1\n"
ENTRY = (b"shared/last-login/imap/test1", b"1795387910161")

# All that may ever be written to a client.
GRAMMAR = re.compile(rb"(O[0-9]+\n|[FW][0-9]+\t[ -~]+\n|F[ -~]+\n|A[OF][0-9]+\n)*")


def _feed(chunks: list[bytes], limits: Limits | None = None) -> tuple[list[Request], bytes, DictConnection]:
    """Requests of all chunks, and what was sent when every write was stored."""
    connection = DictConnection(NAMES, limits or Limits())
    requests: list[Request] = []
    sent = b""
    for chunk in chunks:
        new = list(connection.receive_data(chunk))
        while True:
            requests += new
            for request in new:
                if isinstance(request, CommittedWrite):
                    connection.reply(request, Outcome.STORED)
            sent += connection.data_to_send()
            if not connection.input_waiting:
                break
            new = list(connection.receive_data(b""))
    assert GRAMMAR.fullmatch(sent)
    return requests, sent, connection


def _converse(data: bytes, limits: Limits | None = None) -> tuple[list[Request], bytes]:
    """The same bytes whole, byte by byte, and with the start of another line behind them must mean the same."""
    requests, sent, connection = _feed([data], limits)

    assert not connection.line_unfinished or not data.endswith(b"\n")
    assert (requests, sent) == _feed([data[i : i + 1] for i in range(len(data))], limits)[:2]
    if data.endswith(b"\n"):
        assert (requests, sent) == _feed([data + b"S9"], limits)[:2]
    return requests, sent


def _writes(requests: list[Request]) -> list[tuple[bytes, str, tuple[tuple[bytes, bytes], ...]]]:
    return [(r.user, r.dict_name, r.entries) for r in requests if isinstance(r, CommittedWrite)]


@pytest.mark.parametrize("name", ["dovecot-2.3.19-imap", "dovecot-2.4.1-imap", "major-2-imap"])
def test_recorded_logins(name: str) -> None:
    """A login as majors 3, 4 and 2 send it is one write of its user, answered `O1` and nothing else."""
    requests, sent = _converse((TRANSCRIPTS / f"{name}.txt").read_bytes())

    assert [(b"test1", "statsdb", (ENTRY,))] == _writes(requests)
    assert b"O1\n" == sent


def test_hello_is_never_answered() -> None:
    """A reply to the hello would be taken for that to the first command."""
    assert ([], b"") == _converse(HELLO)


@given(st.binary(max_size=40))
def test_tabescape_round_trip(field: bytes) -> None:
    """Every field survives quoting, and quoted holds nothing that ends a field or a line."""
    quoted = escape(field)

    assert field == unescape(quoted)
    assert not set(b"\x00\t\r\n") & set(quoted)


@pytest.mark.parametrize(
    ("quoted", "meant"),
    [(b"a\x01tb", b"a\tb"), (b"\x011\x010\x01r\x01n", b"\x01\x00\r\n"), (b"\x01x", b"x"), (b"a\x01", b"a")],
)
def test_unescape_is_as_lenient_as_dovecot(quoted: bytes, meant: bytes) -> None:
    """An unknown quoted letter stands for itself; a lone quote at the end vanishes."""
    assert meant == unescape(quoted)


def test_fields_are_split_before_they_are_unescaped() -> None:
    """A TAB inside a key or a user does not shift the fields."""
    requests, sent = _converse(HELLO + b"B1\tu\x01ts\nS1\tk\x01te/\x01n\tv\x011\nC1\n")

    assert [(b"u\ts", "statsdb", ((b"k\te/\n", b"v\x01"),))] == _writes(requests)
    assert b"O1\n" == sent


def test_a_dict_name_is_unescaped_since_major_3() -> None:
    """Major 3 quotes its hello, major 2 does not."""
    assert _converse(b"H3\t2\t0\t\ta\x01tb\n" + LOGIN)[1] == b"O1\n"
    assert _converse(b"H2\t2\t0\tu\ta\tb\nB1\nS1\tk\tv\nC1\n")[1] == b"O1\n"


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        (b"C7\n", b"F7\tno such transaction, or too many are open\n"),
        (b"S1\tk\tv\nC1\n", b"F1\tno such transaction, or too many are open\n"),
        (b"B1\tu\nC1\n", b"O1\n"),
        (b"B1\tu\nB1\tu\nS1\tk\tv\nC1\n", b"F1\ttransaction begun twice\n"),
        (b"B1\tu\nU1\tk\nS1\tk\tv\nC1\n", b"F1\tonly set is supported\n"),
        (b"B1\tu\nU1\tk\nA1\tk\t5\nC1\n", b"F1\tonly set is supported\n"),
        (b"B1\tu\nA1\tk\t5\nC1\n", b"F1\tonly set is supported\n"),
        (b"B1\tu\nP1\tk\tv\nC1\n", b"F1\tonly set is supported\n"),
        (b"B1\tu\nS1\tk\nC1\n", b"F1\tmalformed set\n"),
        (b"B1\tu\nS1\tk\tv\nR1\n", b""),
        (b"B1\tu\nT1\t5\t6\nV1\tyes\nS1\tk\tv\nC1\n", b"O1\n"),
        (b"Lshared/x\tu\n", b"Flook-ups are not supported\n"),
        (b"I1\t0\tshared/\tu\n", b"Flook-ups are not supported\n"),
        (b"B1\tu\nB4294967295\tu\nS1\tk\tv\nC4294967295\nC1\n", b"O4294967295\nO1\n"),
    ],
    ids=str,
)
def test_reply_rules(lines: bytes, sent: bytes) -> None:
    """Each state of a transaction gets the reply of the table in docs and reference, and no other."""
    requests, replies = _converse(HELLO + lines)

    assert sent == replies
    assert all(not isinstance(request, ProtocolViolation) for request in requests)


def test_asynchronous_commit_of_major_2() -> None:
    """`D` is answered `AO` or `AF` after an H2 hello; an old client would wait for ever for anything else."""
    hello = b"H2\t0\t0\tu\tstatsdb\n"

    assert _converse(hello + b"B1\nS1\tk\tv\nD1\n")[1] == b"AO1\n"
    assert _converse(hello + b"D1\n")[1] == b"AF1\n"
    assert _converse(HELLO + b"B1\tu\nS1\tk\tv\nD1\n")[0][-1] == ProtocolViolation("unknown_command")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"B1\tu\n", "no_hello"),
        (b"\n", "no_hello"),
        (b"H3\t2\n", "bad_hello"),
        (b"H5\t0\t0\t\tstatsdb\n", "wrong_version"),
        (b"H3\t2\t0\t\tother\n", "unknown_dict"),
        (HELLO + b"X1\n", "unknown_command"),
        (HELLO + HELLO, "unknown_command"),
        (HELLO + b"\n", "unknown_command"),
        (HELLO + b"Bx\tu\n", "bad_transaction_id"),
        (HELLO + b"C\n", "bad_transaction_id"),
        (HELLO + b"C4294967296\n", "bad_transaction_id"),
        (HELLO + b"R-1\n", "bad_transaction_id"),
        (HELLO + b"x" * 65_537 + b"\n", "line_too_long"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value[:20]),
)
def test_violations(data: bytes, reason: str) -> None:
    """What cannot be answered under an id ends the conversation; whatever follows is ignored."""
    requests, sent = _converse(data + LOGIN)

    assert [ProtocolViolation(reason)] == requests
    assert b"" == sent


def test_a_line_without_end_takes_no_memory() -> None:
    """Of a line that never ends no more than the limit is kept; the client is closed."""
    requests, sent, connection = _feed([HELLO, *[b"x" * 60_000] * 50])

    assert [ProtocolViolation("line_too_long")] == requests
    assert b"" == sent
    assert not connection.line_unfinished


def test_what_was_committed_before_a_violation_is_answered() -> None:
    """Earlier commands get what they are owed."""
    requests, sent = _converse(HELLO + LOGIN + b"X\n")

    assert [(b"test1", "statsdb", (ENTRY,))] == _writes(requests)
    assert b"O1\n" == sent


def test_replies_leave_in_the_order_of_the_commands() -> None:
    """A client takes each reply for its oldest open command, so an early outcome waits for the ones before it."""
    connection = DictConnection(NAMES, Limits())
    data = HELLO + b"B1\ta\nB2\tb\nS2\tk\tv\nS1\tk\tv\nC1\nLx\tu\nC2\n"
    assert b"" == connection.data_to_send()
    first, lookup, second = connection.receive_data(data)

    assert isinstance(first, CommittedWrite)
    assert isinstance(second, CommittedWrite)
    assert Refusal("lookup") == lookup
    assert connection.reply(second, Outcome.STORED)
    assert b"" == connection.data_to_send()
    assert connection.reply(first, Outcome.FULL)
    assert b"F1\tspool full\nFlook-ups are not supported\nO2\n" == connection.data_to_send()
    assert not connection.reply(first, Outcome.STORED)
    assert b"" == connection.data_to_send()


def test_a_reply_does_not_wait_for_those_behind_it() -> None:
    """What is answered leaves at once, though later commands are not answered yet."""
    connection = DictConnection(NAMES, Limits())
    first, _ = connection.receive_data(HELLO + LOGIN + LOGIN)

    assert isinstance(first, CommittedWrite)
    connection.reply(first, Outcome.STORED)
    assert b"O1\n" == connection.data_to_send()


def test_an_unconfirmed_write() -> None:
    """What may or may not be on disk is answered `W`."""
    connection = DictConnection(NAMES, Limits())
    [write] = connection.receive_data(HELLO + LOGIN)

    assert isinstance(write, CommittedWrite)
    connection.reply(write, Outcome.UNCONFIRMED)
    assert not connection.transaction_open
    assert b"W1\tnot confirmed by the spool\n" == connection.data_to_send()


@pytest.mark.parametrize(
    ("limits", "lines"),
    [
        (Limits(sets=1), b"B1\tu\nS1\tk\tv\nS1\tk\tv\nC1\n"),
        (Limits(open_bytes=300), b"B1\tu\nS1\tk\t" + b"v" * 300 + b"\nC1\n"),
        (Limits(open_bytes=100), b"B1\tu\nS1\tk\tv\nC1\n"),
    ],
)
def test_a_transaction_too_large_is_refused(limits: Limits, lines: bytes) -> None:
    """Beyond a limit a transaction is refused at its commit, and the connection goes on."""
    assert _converse(HELLO + lines, limits)[1] == b"F1\ttransaction too large\n"


def test_a_user_name_too_long_is_refused() -> None:
    """Names count against the limit of a connection as much as values do."""
    assert _converse(HELLO + b"B1\t" + b"u" * 300 + b"\nC1\n", Limits(open_bytes=300))[1] == (
        b"F1\ttransaction too large\n"
    )


def test_too_many_open_transactions() -> None:
    """The transaction that is one too many is refused, the others are not."""
    _, sent = _converse(HELLO + b"B1\tu\nB2\tu\nS2\tk\tv\nS1\tk\tv\nC1\nC2\n", Limits(open_transactions=1))

    assert b"O1\nF2\tno such transaction, or too many are open\n" == sent


def test_unanswered_commands_are_bounded() -> None:
    """While replies are owed nothing more is looked at; what was read waits and goes on afterwards."""
    connection = DictConnection(NAMES, Limits(unanswered=2))
    requests = list(connection.receive_data(HELLO + LOGIN * 5))

    assert 2 == len(requests)
    assert connection.full
    assert connection.input_waiting
    answered = b""
    while requests:
        for request in requests:
            assert isinstance(request, CommittedWrite)
            connection.reply(request, Outcome.STORED)
        answered += connection.data_to_send()
        requests = list(connection.receive_data(b""))
    assert b"O1\n" * 5 == answered


def test_more_input_behind_what_waits() -> None:
    """It is looked at after what came before."""
    connection = DictConnection(NAMES, Limits(unanswered=2))
    connection.receive_data(HELLO + b"L\nL\nL\n")
    connection.receive_data(b"L\nX\n")
    for _ in range(2):
        assert 2 == connection.data_to_send().count(b"\n")
        requests = connection.receive_data(b"")

    assert [ProtocolViolation("unknown_command")] == list(requests)


def test_what_is_held() -> None:
    """Lines and transactions without end and input that waits are counted until they are done with; a login is not."""
    connection = DictConnection(NAMES, Limits(unanswered=2))
    connection.receive_data(HELLO)
    assert 0 == connection.held_bytes
    connection.receive_data(b"B1\t" + b"u" * 1_000)
    assert 1_000 <= connection.held_bytes <= 1_100
    connection.receive_data(b"\nS1\tk\t" + b"v" * 1_000 + b"\n")
    assert 2_000 <= connection.held_bytes <= 3_000
    connection.receive_data(b"R1\n" + b"L\n" * 10)
    assert 8 * 100 <= connection.held_bytes <= 10 * 200
    while connection.data_to_send():
        connection.receive_data(b"")
    assert 0 == connection.held_bytes
    [write] = connection.receive_data(LOGIN)
    assert isinstance(write, CommittedWrite)
    assert 0 == connection.held_bytes


def test_input_that_is_dropped() -> None:
    """What was committed is answered, and nothing else is kept or looked at any more."""
    connection = DictConnection(NAMES, Limits(unanswered=1))
    [write] = connection.receive_data(HELLO + b"B2\tu\n" + LOGIN * 2 + b"B3")
    assert isinstance(write, CommittedWrite)
    connection.drop_input()

    assert not any((connection.held_bytes, connection.input_waiting, connection.line_unfinished))
    connection.reply(write, Outcome.STORED)
    assert b"O1\n" == connection.data_to_send()
    assert [] == list(connection.receive_data(b"\nC2\n"))


def test_input_that_waits_takes_no_time() -> None:
    """To take it in portions takes as long as it is long, not the square of it."""

    def seconds(lines: int) -> float:
        connection = DictConnection(NAMES, Limits(unanswered=1))
        connection.receive_data(HELLO)
        started_at = time.process_time()
        connection.receive_data(b"L\n" * lines)
        while connection.data_to_send():
            connection.receive_data(b"")
        return time.process_time() - started_at

    assert seconds(32_768) < 16 * seconds(4_096)


def test_reply_text_is_one_printable_line() -> None:
    """Nothing in a message can end the line, or be anything but text."""
    assert b"F1\ta?b?c??\n" == reply_line(b"F", b"C", b"1", "a\nb\tcé\x00")
    assert len(reply_line(b"F", b"L", b"", "x" * 1000)) < 210


commands = st.sampled_from([b"H3\t2\t0\t\tstatsdb", b"B", b"S", b"C", b"D", b"R", b"L", b"I", b"U", b"A", b"T", b"V"])
lines = st.builds(
    lambda command, rest: command + rest + b"\n",
    commands,
    st.sampled_from([b"1", b"2", b"1\tu", b"1\tk\tv", b"", b"\t", b"1\x01\tx", b"99999999999"])
    | st.binary(max_size=20),
)


@given(st.lists(lines, max_size=20), st.integers(1, 50))
def test_plausible_garbage(conversation: list[bytes], chunk: int) -> None:
    """No sequence of commands raises, or makes a line outside the grammar; chunking changes nothing."""
    data = HELLO + b"".join(conversation)

    assert _feed([data])[:2] == _feed([data[i : i + chunk] for i in range(0, len(data), chunk)])[:2]


@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    """No bytes at all raise, before or after a hello."""
    _feed([data])
    _feed([HELLO + data])
