"""Pauses between retries."""

from random import Random

import pytest

from lastlogin_service.backoff import Backoff


class Extreme(Random):
    """Randomness that always draws the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        """Return the upper bound."""
        return b


def test_bounds_double_up_to_the_cap() -> None:
    """The bound of the pause doubles from the first to the cap, where it stays."""
    backoff = Backoff(1, 5, Extreme())

    assert [backoff.next() for _ in range(5)] == [1, 2, 4, 5, 5]


def test_reset() -> None:
    """After a success the pauses are short again."""
    backoff = Backoff(1, 5, Extreme())
    backoff.next()
    backoff.next()

    backoff.reset()

    assert backoff.next() == 1


def test_full_jitter() -> None:
    """Pauses are spread over the whole range from zero."""
    backoff = Backoff(10, 10, Random(1))  # noqa: S311 - a spread, not a secret

    pauses = [backoff.next() for _ in range(1000)]

    assert 0 <= min(pauses) < 0.1
    assert 9.9 < max(pauses) <= 10


@pytest.mark.parametrize(("first_s", "cap_s"), [(0, 1), (-1, 1), (2, 1)])
def test_bad_bounds(first_s: float, cap_s: float) -> None:
    """Bounds that would never pause or never grow are a mistake of the caller."""
    with pytest.raises(ValueError, match=r"0 < first_s <= cap_s must hold"):
        Backoff(first_s, cap_s, Extreme())
