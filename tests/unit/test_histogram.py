"""The histogram of the hot paths."""

import pytest

from lastlogin_service.histogram import Histogram


def test_bounds_belong_to_their_bucket() -> None:
    """An observation on a bound counts at that bound and above, one beyond the last only as a whole."""
    histogram = Histogram([1, 2.5])
    for value in (0, 1, 1.1, 2.5, 3):
        histogram.observe(value)

    assert [("1.0", 2), ("2.5", 4), ("+Inf", 5)] == histogram.buckets()
    assert 7.6 == pytest.approx(histogram.total)
