"""Damage on a broker's disk."""

from lastlogin_stack.layout import Layout


def flip_bit(layout: Layout, topic: str, partition: int, within: bytes) -> None:
    """Flip a bit of a record that holds `within`, and so spoil its batch; Kafka may run, and reads the file anew."""
    [segment] = (layout.server_directory("kafka") / "data" / f"{topic}-{partition}").glob("*.log")
    with segment.open("r+b") as file:
        place = file.read().index(within)
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1]))
