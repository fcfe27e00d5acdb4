"""A hundred thousand lines that no Dovecot sends, or might: every reply is the answer to its own command.

`LASTLOGIN_FUZZ_LINES=1000000` plays so many lines instead of those that fit into two seconds.
"""

import os
import re
from random import Random

import pytest

from lastlogin_producer.dictproto import CommittedWrite, DictConnection, Limits, ProtocolViolation
from lastlogin_producer.dictproto.tabescape import unescape
from lastlogin_producer.outcome import Outcome
from tests.support.rules import event_rules


LINES = int(os.environ.get("LASTLOGIN_FUZZ_LINES", "40000"))
SEEDS = 4
RULES = event_rules()
HELLOS = [b"H2\t0\t0\tu\tstatsdb\n", b"H2\t2\t0\tu\tstatsdb\n", b"H3\t2\t0\t\tstatsdb\n", b"H4\t0\t0\t\tstatsdb\n"]
IDS = [b"1", b"2", b"3", b"007", b"4294967295"]
KEYS = [b"shared/last-login/imap/u", b"shared/last-login/imap/u/192.0.2.1", b"shared/ip", b"priv/x", b"", b"\xff/\x01n"]
VALUES = [b"1795387910161", b"1795387910", b"192.0.2.1", b"abc", b"", b"9" * 40]
NOISE = [b"\x00", b"\t", b"\r", b"\x01", b"\xff", b"\n", b"O1\n", b"A", b"9", b"\r\n", b" "]

# What may answer which command; `%` stands for its id.
ANSWERS = {
    b"C": rb"O%|[FW]%\t[ -~]+",
    b"D": rb"A[OF]%",
    b"L": rb"F[ -~]+",
    b"I": rb"F[ -~]+",
}


def _line(random: Random) -> bytes:
    identity = random.choice(IDS)
    command = random.choices(b"BSCDRLIUATVPHMNX", (20, 25, 25, 5, 3, 4, 2, 2, 2, 3, 3, 1, 0, 0, 0, 1))[0]
    line = bytes([command]) + identity
    if command == ord("B"):
        line += b"\t" + random.choice([b"u", b"", b"a/b", b"\x01t"])
    elif command in b"SUA":
        line += b"\t" + random.choice(KEYS) + b"\t" + random.choice(VALUES)
    if random.random() < 0.02:
        at = random.randrange(len(line) + 1)
        line = line[:at] + random.choice(NOISE) + line[at + random.randrange(2) :]
    return line + b"\n"


def _converse(random: Random, lines: list[bytes], major: int) -> tuple[list[bytes], list[bytes], bool]:
    """Play lines in chunks of any size: the commands that were obeyed and want an answer, the replies, whether it held.

    Outcomes come late, in any order.
    """
    connection = DictConnection({b"statsdb": "statsdb"}, Limits())
    data = b"".join(lines)
    sent, violated = b"", False
    outstanding: list[CommittedWrite] = []
    while data or connection.input_waiting or outstanding:
        size = random.choice([1, 7, 60, 300, 4_000])
        chunk, data = data[:size], data[size:]
        for request in connection.receive_data(chunk):
            if isinstance(request, CommittedWrite):
                outstanding.append(request)
                RULES.interpret(request, 5)
            violated = violated or isinstance(request, ProtocolViolation)
        while outstanding and (random.random() < 0.7 or not data):
            write = outstanding.pop(random.randrange(len(outstanding)))
            assert connection.reply(write, random.choice(list(Outcome)))
        sent += connection.data_to_send()
        if violated:
            data = b""
    whole = b"".join(lines).split(b"\n")
    commands = [line for line in whole if line[:1] in ANSWERS and not (line[:1] == b"D" and major != 2)]
    assert not sent or sent.endswith(b"\n")
    return commands, sent.split(b"\n")[:-1], violated


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_reply_answers_its_command(seed: int) -> None:
    """Replies come in the order of the commands, each of the one form that its command allows, and none beside."""
    random = Random(seed)  # noqa: S311 - the same for everybody
    played = replies_seen = 0
    while played < LINES // SEEDS:
        hello = random.choice(HELLOS)
        lines = [hello, *(_line(random) for _ in range(random.randrange(200)))]
        played += len(lines)
        commands, replies, violated = _converse(random, lines, hello[1] - ord("0"))

        assert len(replies) <= len(commands)
        assert violated or len(replies) == len(commands)
        for command, reply in zip(commands, replies, strict=False):
            form = ANSWERS[command[:1]].replace(b"%", re.escape(unescape(command[1:].partition(b"\t")[0])))
            assert re.fullmatch(form, reply), (command, reply)
        replies_seen += len(replies)

    # Not all conversations end with their first line.
    assert replies_seen > played / 20


@pytest.mark.parametrize("seed", range(SEEDS))
def test_bytes_of_any_kind(seed: int) -> None:
    """Random bytes, before and after a hello, raise nothing and are answered with nothing outside the grammar."""
    random = Random(seed)  # noqa: S311 - the same for everybody
    for _ in range(LINES // SEEDS // 40):
        connection = DictConnection({b"statsdb": "statsdb"}, Limits())
        hello = random.choice([b"", *HELLOS])
        for request in connection.receive_data(hello + random.randbytes(random.randrange(400))):
            if isinstance(request, CommittedWrite):
                connection.reply(request, Outcome.STORED)
        assert re.fullmatch(rb"(O[0-9]+\n|[FW][0-9]+\t[ -~]+\n|F[ -~]+\n|A[OF][0-9]+\n)*", connection.data_to_send())


def test_interleaved_transactions() -> None:
    """Two transactions at once keep their own users and entries, and are answered in the order of their commits."""
    connection = DictConnection({b"statsdb": "statsdb"}, Limits())
    lines = b"B1\ta\nB2\tb\nS2\tk2\tv2\nS1\tk1\tv1\nS2\tl2\tw2\nC2\nS1\tl1\tw1\nC1\n"
    second, first = connection.receive_data(b"H3\t2\t0\t\tstatsdb\n" + lines)

    assert isinstance(first, CommittedWrite)
    assert isinstance(second, CommittedWrite)
    assert (b"a", ((b"k1", b"v1"), (b"l1", b"w1"))) == (first.user, first.entries)
    assert (b"b", ((b"k2", b"v2"), (b"l2", b"w2"))) == (second.user, second.entries)
    connection.reply(first, Outcome.STORED)
    assert b"" == connection.data_to_send()
    connection.reply(second, Outcome.UNCONFIRMED)
    assert b"W2\tnot confirmed by the spool\nO1\n" == connection.data_to_send()


@pytest.mark.parametrize("letter", [b"L", b"I"])
def test_a_look_up_is_answered_at_once(letter: bytes) -> None:
    """Without waiting for a spool: a client that looks up waits 30 s else; inside a transaction, too."""
    connection = DictConnection({b"statsdb": "statsdb"}, Limits())
    connection.receive_data(b"H4\t0\t0\t\tstatsdb\nB1\tu\t0\n" + letter + b"shared/x\tu\n")

    assert b"Flook-ups are not supported\n" == connection.data_to_send()
