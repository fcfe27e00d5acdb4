"""Damage on a broker's disk; Kafka may run, and reads the files anew."""

from pathlib import Path
from struct import Struct

from lastlogin_stack.layout import Layout


# What a batch begins with: its first offset, and how many bytes follow.
_BATCH = Struct(">qi")


def flip_bit(layout: Layout, topic: str, partition: int, within: bytes) -> None:
    """Flip a bit of a record that holds `within`, and so spoil its batch."""
    segment = _segment(layout, topic, partition)
    place = (content := segment.read_bytes()).index(within)
    _write(segment, place, bytes([content[place] ^ 1]))


def cut_off(layout: Layout, topic: str, partition: int, offset: int) -> None:
    """Have the batch that begins with `offset` claim to be larger than the file."""
    segment = _segment(layout, topic, partition)
    content, place = segment.read_bytes(), 0
    while (batch := _BATCH.unpack_from(content, place))[0] < offset:
        place += _BATCH.size + batch[1]
    assert batch[0] == offset
    _write(segment, place, _BATCH.pack(offset, 2**31 - 1))


def _segment(layout: Layout, topic: str, partition: int) -> Path:
    [segment] = (layout.server_directory("kafka") / "data" / f"{topic}-{partition}").glob("*.log")
    return segment


def _write(segment: Path, place: int, content: bytes) -> None:
    with segment.open("r+b") as file:
        file.seek(place)
        file.write(content)
