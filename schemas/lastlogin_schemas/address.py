"""Client addresses: as text in events, as bytes in the table.

An IPv4 client on a dual-stack socket appears as `::ffff:192.0.2.1`; it is recorded as the `192.0.2.1` that
customer care looks for.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address


def _parse(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            msg = "an address with a zone index has no meaning on another host"
            raise ValueError(msg)
        return address.ipv4_mapped or address
    return address


def canonical(text: str) -> str:
    """Canonical text of an address. Raises ValueError for what is not one."""
    return str(_parse(text))


def column_bytes(text: str | None) -> bytes:
    """Value of an `inet` column: 4 or 16 bytes, or no bytes at all for "no address".

    Zero bytes are a live cell that reads as null. A null would be a tombstone: it goes away after
    gc_grace_seconds, and an older login's address could come back beside the newer time.
    Raises ValueError for what is not an address.
    """
    return _parse(text).packed if text is not None else b""


def column_text(text: str | None) -> bytes:
    """Value of a `text` column, the canonical text; no bytes for "no address". Raises ValueError as `column_bytes`."""
    return canonical(text).encode() if text is not None else b""
