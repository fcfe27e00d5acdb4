"""Floods and garbage against the producer as a process: little memory, and nobody else notices."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.support.dict_client import Load, write
from tests.support.producer import ProducerProcess


MIB = 1_048_576
HELLO = b"H3\t2\t0\t\tstatsdb\n"
NOW = "1795387910161"


@pytest.fixture
def producer(tmp_path: Path) -> Iterator[ProducerProcess]:
    """One that has served some, so that its memory is what it needs."""
    with ProducerProcess(tmp_path) as producer:
        producer.serve()
        for number in range(200):
            assert b"O1\n" == write(producer.socket, f"u{number}", f"shared/last-login/imap/u{number}", NOW)
        yield producer


def flood(producer: ProducerProcess, data: bytes) -> int:
    """Connect, say hello, and send `data` until it is all sent or the connection is closed; how many bytes went out."""
    sent = 0
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(producer.socket))
        client.sendall(HELLO)
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < len(data):
                sent += client.send(data[sent : sent + 65_536])
            while client.recv(1_000):
                pass
    return sent


def test_bytes_without_a_newline(producer: ProducerProcess) -> None:
    """Lines that never end (100 MB in all; a tenth of what the limits were made for) cost less than 1 MiB."""
    for _ in range(20):
        flood(producer, b"x" * MIB)
    before = producer.memory_bytes()
    sent = connections = 0
    with Load(producer.socket, "beside-", threads=1, pause_s=0.005) as load:
        while sent < 100_000_000:
            sent += flood(producer, b"x" * 10 * MIB)
            connections += 1
        grown = producer.memory_bytes() - before

    assert grown < MIB
    assert load.acknowledged
    assert [] == load.other_replies
    assert 0 == load.connect_failures
    # Each was cut off after its first 64 KiB, and what the socket's buffer held.
    assert sent / connections < MIB
    assert 1 == len(producer.said("dict_connection_closed"))


@pytest.mark.parametrize("length", [65_537, 70_000, MIB])
def test_a_line_too_long(producer: ProducerProcess, length: int) -> None:
    """A line beyond 65,536 bytes closes its connection and nothing else, whether or not it ends."""
    for end in (b"", b"\n"):
        flood(producer, b"S1\tk\t" + b"x" * (length - 5) + end)

    assert b"O1\n" == write(producer.socket, "u", "shared/last-login/imap/u", NOW)
    scraped = producer.get("/metrics")[1]
    assert 'dict_connections_closed_total{reason="line_too_long"} 2.0' in scraped


def test_garbage_beside_logins(producer: ProducerProcess) -> None:
    """While others send noise for two seconds every login is acknowledged, and the process has nothing to say of it."""
    random = Random(5)  # noqa: S311 - the same for everybody
    with Load(producer.socket, "beside-", threads=1) as load:
        ends = time.monotonic() + 2
        while time.monotonic() < ends:
            noise = random.randbytes(random.randrange(2_000))
            flood(
                producer,
                random.choice([b"", b"B1\tu\n", b"C1\r\n", b"\x00\n", b"B1\tu\nS1\tk\tv\x01\n"]) + noise + b"\n\n",
            )
        load.wait_until(lambda load: len(load.acknowledged) > 100)

    assert [] == load.other_replies
    assert "Traceback" not in producer.output()
    assert len(producer.output().splitlines()) < 30
    assert 0 == producer.stop()
