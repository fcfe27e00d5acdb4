"""How many of what."""

import pytest

from lastlogin_service.counting import counted


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((0, "record"), "0 records"),
        ((1, "record"), "1 record"),
        ((2_000, "record"), "2,000 records"),
        ((1, "number is", "numbers are"), "1 number is"),
        ((0, "number is", "numbers are"), "0 numbers are"),
    ],
)
def test_counted(words: tuple[int, str, str], told: str) -> None:
    """One is one, all else is many."""
    assert counted(*words) == told
