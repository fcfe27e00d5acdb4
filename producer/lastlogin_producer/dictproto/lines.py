"""Bytes to lines, within bounds."""


class LineBuffer:
    """Cuts input at newlines. Bytes are searched once: a line that drips in costs what one does that comes whole."""

    __slots__ = ("_limit", "_unfinished")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Without a newline, and never more than the limit.
        self._unfinished = bytearray()

    @property
    def unfinished(self) -> bool:
        """Whether the beginning of a line was read and not its end."""
        return bool(self._unfinished)

    @property
    def held_bytes(self) -> int:
        """Bytes of the line that has no end yet."""
        return len(self._unfinished)

    def feed(self, data: bytes) -> list[bytes]:
        """Take what was read and return the lines that it ends, without their newlines.

        What grows beyond the limit without ending is handed out too: a line too long, as its length tells.
        """
        lines = data.split(b"\n")
        if self._unfinished and len(lines) > 1:
            lines[0] = bytes(self._unfinished) + lines[0]
            self._unfinished.clear()
        rest = lines.pop()
        if len(self._unfinished) + len(rest) > self._limit:
            lines.append(bytes(self._unfinished) + rest[: self._limit + 1])
            self._unfinished.clear()
        elif rest:
            self._unfinished += rest
        return lines
