"""What Prometheus has recorded of a stack: series over time, and which alerts were pending or fired."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from lastlogin_stack.prometheus import Prometheus


STEP_S = 1
# Rates are of so many seconds.
RATE_S = 5

_SERIES = {
    "acknowledged": f'sum(rate(lastlogin_producer_dict_commit_reply_seconds_count{{reply="stored"}}[{RATE_S}s]))',
    "published": f"sum(rate(lastlogin_producer_kafka_published_total[{RATE_S}s]))",
    "written": f"sum(rate(lastlogin_consumer_rows_written_total[{RATE_S}s]))",
    "lag_seconds": "max(lastlogin_consumer_lag_seconds)",
    "lag_records": "sum(lastlogin_consumer_lag_records)",
    "spool_seconds": "max(lastlogin_producer_spool_oldest_age_seconds)",
    "spool_rows": "sum(lastlogin_producer_spool_rows)",
}

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Something that lasted from one moment to another, in seconds since the recording began."""

    what: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Alert(Stretch):
    """An alert, `what` being its name, for as long as it was in one state: pending or firing."""

    state: str
    severity: str


@dataclass(frozen=True, slots=True)
class Recording:
    """Seconds since it began and values of each series; alerts by the time when they came."""

    seconds: float
    series: dict[str, Points]
    alerts: list[Alert]

    def most(self, name: str, within: Stretch) -> float:
        """Return the largest value of a series from the beginning of a stretch to its end; 0 without any."""
        return max((value for at, value in self.series[name] if within.began <= at <= within.ended), default=0.0)


def recorded(prometheus: Prometheus, began: float, ended: float) -> Recording:
    """Return what it has recorded between two times of day. Raises `StackError`."""

    def points(query: str) -> Iterator[tuple[dict[str, str], Points]]:
        found = prometheus.ask("query_range", query=query, start=began, end=ended, step=STEP_S)
        for series in found["result"]:
            yield series["metric"], [(at - began, float(value)) for at, value in series["values"]]

    series = {name: next((values for _, values in points(query)), []) for name, query in _SERIES.items()}
    alerts = [
        Alert(labels["alertname"], first, last, labels["alertstate"], labels["severity"])
        for labels, values in points("max by (alertname, alertstate, severity) (ALERTS)")
        for first, last in _stretches([at for at, _ in values])
    ]
    return Recording(ended - began, series, sorted(alerts, key=lambda alert: alert.began))


def per_second(moments: Sequence[float], began: float, seconds: float) -> Points:
    """Return how many of `moments` there were per second, as `rate` would."""
    return [
        (at, sum(at - RATE_S < moment - began <= at for moment in moments) / RATE_S)
        for at in range(RATE_S, int(seconds) + 1, STEP_S)
    ]


def _stretches(moments: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Steps that follow each other, from the first to behind the last."""
    for _, group in groupby(enumerate(moments), key=lambda each: round(each[1] - each[0] * STEP_S)):
        steps = [at for _, at in group]
        yield steps[0], steps[-1] + STEP_S
