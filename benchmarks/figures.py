"""Figures of several runs: the median, and how far apart they are."""

from collections.abc import Sequence
from statistics import median


def spread(values: Sequence[float], unit: str = "", digits: int = 0) -> str:
    """`median unit (lowest to highest)`."""
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), median(values), max(values)))
    return f"{middle}{unit} ({low} to {high})"
