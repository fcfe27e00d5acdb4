"""Case 7: the spool's file is damaged while messages wait in it."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from lastlogin_producer.spool.spool import FILE_NAME
from lastlogin_stack.kafka import Kafka
from tests.support.audit import Kept, Stream, read_spool
from tests.support.backend import NAME, Backend
from tests.support.scale import seeded


Damage = Callable[[Path, Random], None]

PAGE = 4_096
ROWS = 2_000


def flip_in_rows(file: Path, rng: Random) -> None:
    """Change one byte in each of three rows."""
    data = bytearray(file.read_bytes())
    for number in rng.sample(range(ROWS // 4, ROWS // 2), 3):
        # Rows are long, and the user is the first of it.
        data[data.index(b"damaged-%d\x08imap" % number) + 20] ^= 0x55
    file.write_bytes(data)


def zero_a_page(file: Path, rng: Random) -> None:
    """Make a page zero that is neither the first nor the last."""
    data = bytearray(file.read_bytes())
    page = rng.randrange(2, len(data) // PAGE - 2)
    data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    file.write_bytes(data)


def spoil_the_header(file: Path, _: Random) -> None:
    """Overwrite the first bytes: SQLite knows the file no more."""
    with file.open("r+b") as spool:
        spool.write(bytes(64))


def cut(file: Path, rng: Random) -> None:
    """Cut off the end."""
    size = file.stat().st_size
    with file.open("r+b") as spool:
        spool.truncate(rng.randrange(size // 4, size // 2))


@pytest.mark.parametrize(("damage", "at_least"), [(flip_in_rows, 3), (zero_a_page, 0), (spoil_the_header, 0), (cut, 1)])
def test_what_is_lost_is_named(
    backend: Backend, kafka: Kafka, damage: Damage, at_least: int, figures: Callable[[str], None]
) -> None:
    """It says so, serves, and publishes what it can; the logins missing then are exactly those of the holes."""
    rng, seed = seeded()
    producer, spool = backend.producer, backend.directory / "spool"
    for number in range(20):
        assert b"O1\n" == backend.login(f"before-{number}")
    backend.drain()
    kafka.stop()
    for number in range(ROWS):
        assert b"O1\n" == backend.login(f"damaged-{number}")
    assert 0 == producer.stop()
    users, last = copied(spool, backend.directory)

    damage(spool / FILE_NAME, rng)
    producer.start()
    kafka.start()
    kafka.wait_ready()
    producer.wait_until(lambda: drained(backend), 60)
    assert b"O1\n" == backend.login("after")
    backend.drain()
    assert 0 == producer.stop()
    found = backend.audit(last=last)
    figures(f"{damage.__name__}, seed {seed}: {str(found).splitlines()[0]}")

    named = {users[stream, sequence] for stream, sequences in found.holes.items() for sequence in sequences}
    assert named == set(found.missing)
    assert [] == found.invented
    assert at_least <= len(found.missing)
    assert "damaged" in producer.output()


def drained(backend: Backend) -> bool:
    """Whether Kafka has everything; starts the producer, as a service manager would, when the damage has ended it."""
    if not backend.producer.running:
        backend.producer.start()
    return backend.drained()


def copied(spool: Path, directory: Path) -> tuple[dict[tuple[Stream, int], str], dict[Stream, int]]:
    """What waits in the whole spool by stream and sequence, and the last sequence, read from a copy."""
    copy = directory / "copy"
    shutil.copytree(spool, copy)
    rows: list[Kept]
    rows, last = asyncio.run(read_spool(copy, NAME))
    return {(row.stream, row.sequence): row.user for row in rows}, last
