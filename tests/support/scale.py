"""How much of a long case is run: all of it in `make test-soak`, a part that fits elsewhere."""

import os
import secrets
from random import Random
from typing import TypeVar


_T = TypeVar("_T", int, float)

SOAK = os.environ.get("LASTLOGIN_SOAK") == "1"


def scale(whole: _T, short: _T) -> _T:
    """Return `whole` in a soak, else `short`: a count, or seconds."""
    return whole if SOAK else short


def seeded() -> tuple[Random, int]:
    """Return a source of random points and its seed, which LASTLOGIN_SEED repeats."""
    seed = int(os.environ.get("LASTLOGIN_SEED", secrets.randbelow(10**6)))
    return Random(seed), seed  # noqa: S311 - repeatable on purpose
