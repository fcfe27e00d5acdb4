"""Pauses between retries."""

from random import Random


class Backoff:
    """Exponential pauses with full jitter: uniform between 0 and a bound that doubles from `first_s` to `cap_s`.

    Full jitter, because a whole cluster of mail backends loses the same Kafka at the same moment and must not
    come back in step.
    """

    def __init__(self, first_s: float, cap_s: float, rng: Random) -> None:
        if not 0 < first_s <= cap_s:
            raise ValueError(f"0 < first_s <= cap_s must hold, not {first_s} and {cap_s}")
        self._first_s = first_s
        self._cap_s = cap_s
        self._rng = rng
        self._bound_s = first_s

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        bound_s = self._bound_s
        self._bound_s = min(bound_s * 2, self._cap_s)
        return self._rng.uniform(0, bound_s)

    def reset(self) -> None:
        """Start over: an attempt succeeded."""
        self._bound_s = self._first_s
