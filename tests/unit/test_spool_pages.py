"""Rows out of single pages of a SQLite file."""

import sqlite3
from random import Random

import pytest

from lastlogin_producer.spool.pages import PAGE_BYTES, Found, rows_of


# Of each integer size, the constants, negative numbers, and bodies that go into one, two and many overflow pages.
ROWS = [
    (number, kind, crc, b"x" * size)
    for number, (kind, crc, size) in enumerate(
        [
            (0, 1, 0),
            (1, 127, 10),
            (2, -128, 127),
            (1, 32_767, 128),
            (1, 2**23 - 1, 4_000),
            (1, 2**31, 4_057),
            (2, 2**40, 4_058),
            (2, 2**63 - 1, 8_200),
            (None, 2**32 - 1, 100_000),
        ],
        start=1,
    )
] + [(-(2**48) + 5, 1, 2, b"negative"), (2**40, 1, 2, b"large")]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Every page of a database with these rows."""
    file = tmp_path_factory.mktemp("pages") / "rows.sqlite"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE messages (sequence INTEGER PRIMARY KEY, kind, crc, body)")
    connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", ROWS)
    connection.commit()
    connection.close()
    content = file.read_bytes()
    return [content[at : at + PAGE_BYTES] for at in range(0, len(content), PAGE_BYTES)]


def found(pages: list[bytes]) -> list[Found]:
    """Rows of all pages."""

    def overflow(number: int) -> bytes:
        return pages[number - 1] if 0 < number <= len(pages) else b""

    return [row for page in pages for row in rows_of(page, overflow)]


def test_every_row_is_found(pages: list[bytes]) -> None:
    """All integer sizes, and bodies that need overflow pages; the schema's own row is not of a leaf that we read."""
    assert sorted(ROWS) == sorted((row.sequence, *row.columns[1:]) for row in found(pages))


def test_a_chain_that_breaks_off_loses_its_row_alone(pages: list[bytes]) -> None:
    """Without overflow pages only the rows that need one are missing."""
    rows = [row.sequence for page in pages for row in rows_of(page, lambda _: b"")]

    assert sorted(number for number, _, _, body in ROWS if len(body) < 4_057) == sorted(rows)


def test_a_chain_that_bites_its_tail_ends(pages: list[bytes]) -> None:
    """A page that names itself as the next one is no way on."""
    tail = (9).to_bytes(4, "big").ljust(PAGE_BYTES, b"x")

    rows = [row.sequence for page in pages for row in rows_of(page, lambda _: tail)]
    assert 9 not in rows
    assert 1 in rows


@pytest.mark.parametrize("page", [b"", bytes(PAGE_BYTES), b"\x0d" * 100, b"\x05" * PAGE_BYTES])
def test_other_pages_have_no_rows(page: bytes) -> None:
    """Empty, too short, or of another kind."""
    assert [] == list(rows_of(page, lambda _: b""))


@pytest.mark.parametrize("seed", range(20))
def test_garbage(pages: list[bytes], seed: int) -> None:
    """Whatever a page holds, reading it ends without an error."""
    rng = Random(seed)  # noqa: S311 - repeatable on purpose
    for page in pages:
        content = bytearray(page)
        for _ in range(seed):
            at = rng.choice((rng.randrange(40), rng.randrange(PAGE_BYTES - 40)))
            content[at : at + 9] = rng.randbytes(9)
        list(rows_of(b"\x0d" + bytes(content[1:]), lambda number: pages[number % len(pages)]))


@pytest.mark.parametrize(
    "cell",
    [
        # A payload beyond any message, a header with too many columns, a varint without end, an unknown integer type.
        b"\xff" * 9 + b"\x01",
        b"\x08\x01\x07\x08\x08\x08\x08\x08\x08\x08",
        b"\x02\x01\xff\xff",
        b"\x02\x01\x02\x0a",
        b"\x02\x01\x02\x06",
    ],
)
def test_cells_that_are_none(cell: bytes) -> None:
    """They are passed over."""
    at = PAGE_BYTES - len(cell)
    page = bytearray(PAGE_BYTES)
    page[0], page[4] = 0x0D, 1
    page[8:10] = at.to_bytes(2, "big")
    page[at:] = cell

    assert [] == list(rows_of(bytes(page), lambda _: b""))
