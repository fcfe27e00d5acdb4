"""Expressions that several dashboards have."""

from collections.abc import Iterable

from lastlogin_dashboards.panels import BAD, GOOD, WARN, Query


# The clusters chosen; also series without the label when all are.
CLUSTERS = 'cluster=~"$cluster"'


def rate(counter: str, selector: str, name: str, colour: str = "", *, by: str = "cluster") -> Query:
    """How much of `counter` there is each second."""
    return Query(f"sum by ({by}) (rate({counter}{{{selector}}}[$__rate_interval]))", f"{name} {{{{cluster}}}}", colour)


def seen(query: Query) -> Query:
    """`query` without series that are 0."""
    return Query(f"{query.expression} > 0", query.legend, query.colour)


def counted(counter: str, selector: str, window_s: int) -> str:
    """Expression of how much was counted within a time, and before the first scrape of a process that began in it."""
    return (
        f"sum(({counter}{{{selector}}} and on (cluster, job, instance) "
        f"process_start_time_seconds > time() - {window_s}) or increase({counter}{{{selector}}}[{window_s}s]))"
    )


def quantile(
    which: float, histogram: str, selector: str, *, by: str = "cluster", window: str = "$__rate_interval"
) -> str:
    """Expression of a quantile of a histogram."""
    return f"histogram_quantile({which}, sum by ({by}, le) (rate({histogram}_bucket{{{selector}}}[{window}])))"


def quantiles(
    histogram: str,
    selector: str,
    named: Iterable[tuple[float, str]] = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99")),
) -> list[Query]:
    """Three quantiles, each in its colour."""
    return [
        Query(quantile(which, histogram, selector), f"{name} {{{{cluster}}}}", colour)
        for (which, name), colour in zip(named, (GOOD, WARN, BAD), strict=True)
    ]
