"""A file beside the spool with the number of the last message that was acknowledged.

Without it, a WAL that is missing, or that ends early because of a flipped bit, looks like a spool that never had those
messages, and their numbers would be given out a second time. It is written after each group and never synced: after
`kill -9` it is exact, after a power loss it may be behind, and never ahead.
"""

import os
from contextlib import suppress
from pathlib import Path

from crc32c import crc32c


_NUMBER_BYTES = 8
_CHECKSUM_BYTES = 4


class LastNumber:
    """Epoch and number of the last acknowledged message of the spool at `path`. Raises OSError when made."""

    def __init__(self, path: Path) -> None:
        name = path.with_name(path.name + "-last")
        self._descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def read(self) -> tuple[int, int] | None:
        """Epoch and number; None when nothing was noted, or it cannot be read."""
        with suppress(OSError):
            noted = os.pread(self._descriptor, 2 * _NUMBER_BYTES + _CHECKSUM_BYTES, 0)
            numbers, checksum = noted[: 2 * _NUMBER_BYTES], noted[2 * _NUMBER_BYTES :]
            if checksum == crc32c(numbers).to_bytes(_CHECKSUM_BYTES, "big"):
                return int.from_bytes(numbers[:_NUMBER_BYTES], "big"), int.from_bytes(numbers[_NUMBER_BYTES:], "big")
        return None

    def write(self, epoch: int, sequence: int) -> None:
        """Note that all up to `sequence` are stored. What the disk makes of it shows itself elsewhere."""
        numbers = epoch.to_bytes(_NUMBER_BYTES, "big") + sequence.to_bytes(_NUMBER_BYTES, "big")
        with suppress(OSError):
            os.pwrite(self._descriptor, numbers + crc32c(numbers).to_bytes(_CHECKSUM_BYTES, "big"), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
