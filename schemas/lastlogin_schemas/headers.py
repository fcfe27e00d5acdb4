"""Record headers: where a message comes from, and whether it is whole.

Avro has no integrity check (a good quarter of randomly damaged messages still decode), hence `crc32c`: the
CRC-32C of the Avro body without framing, 8 lower-case hexadecimal digits. `origin` is
`<backend>/<epoch>/<sequence>`; it survives even where the body does not, so that a damaged record is not
taken for a lost one.
"""

from collections.abc import Iterable

from crc32c import crc32c

from lastlogin_schemas.errors import Undecodable


CHECKSUM = "crc32c"
ORIGIN = "origin"


def message_headers(body: bytes, backend: str, epoch: int, sequence: int) -> list[tuple[str, bytes]]:
    """Headers for a message whose Avro body (without framing) is `body`."""
    return [
        (CHECKSUM, b"%08x" % crc32c(body)),
        (ORIGIN, b"%b/%d/%d" % (backend.encode(), epoch, sequence)),
    ]


def verify_checksum(body: bytes, headers: Iterable[tuple[str, bytes]]) -> bool:
    """Tell whether `body` was checked: False when no checksum came with it (a foreign producer's record).

    Raises `Undecodable` with `checksum_mismatch` or `malformed_header`.
    """
    for name, value in headers:
        if name == CHECKSUM:
            try:
                expected = int(value, 16)
            except (TypeError, ValueError):
                raise Undecodable("malformed_header", "header crc32c is not a hexadecimal number") from None
            if crc32c(body) != expected:
                raise Undecodable("checksum_mismatch", "the body does not match its crc32c header")
            return True
    return False
