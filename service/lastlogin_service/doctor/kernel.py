"""Whether this host's clock is kept right, by the kernel's own word."""

import ctypes


# adjtimex(2): the state of a clock that nobody disciplines, and room for struct timex.
_TIME_ERROR = 5
_TIMEX_BYTES = 512


def synchronised() -> bool | None:
    """Whether the kernel believes that this host's clock is kept right; None when it does not say."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (AttributeError, OSError):
        return None
    return None if state < 0 else state != _TIME_ERROR
