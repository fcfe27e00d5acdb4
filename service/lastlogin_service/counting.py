"""How many of what, in words. Pure."""


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count with what it counts: "1 record", "2,000 records"; `many` where it is not `one` with an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
