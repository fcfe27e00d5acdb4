"""What became of outages, as one picture: rates, what is behind, what waits on the mail host, alerts."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lastlogin_stack.layout import PROJECT_ROOT
from lastlogin_stack.prometheus import TIMES_FASTER
from lastlogin_stack.recording import Points, Recording, Stretch


if TYPE_CHECKING:
    from matplotlib.axes import Axes


_BLUE, _GREEN, _ORANGE, _GREY = "#1f77b4", "#1b7837", "#f28e2b", "#c3c7ce"
# By severity: while it is pending, and while it fires.
_ALERT_COLORS = {"page": ("#f4b9b5", "#c62828"), "ticket": ("#fbe0b0", "#e6a117")}
_ALERT_INCHES = 0.27
# How high it is written that a line goes far above.
_PEAK_AT = {_GREEN: 0.82, _ORANGE: 0.72, _BLUE: 0.62, _GREY: 0.52}
# In units of the usual number of logins.
_HIGHEST_RATE = 2.5


def draw(seen: Recording, outages: Sequence[Stretch], logins: Points, picture: Path) -> None:
    """Write the picture. `logins` are those that got in, per second."""
    # Where it keeps what it knows of fonts: else in the home directory, to which nothing of ours is written.
    os.environ.setdefault("MPLCONFIGDIR", str(PROJECT_ROOT / ".cache" / "matplotlib"))
    from matplotlib.figure import Figure  # noqa: PLC0415 - looks at the variable when it is imported

    alerts = list(dict.fromkeys(each.what for each in seen.alerts if each.state == "firing"))
    heights = [2.6, 1.5, 1.5, 0.4 + _ALERT_INCHES * len(alerts)]
    figure = Figure(figsize=(14, sum(heights) + 2.2), dpi=100, layout="constrained")
    rates, table, spool, bars = figure.subplots(4, sharex=True, height_ratios=heights)

    _draw_rates(rates, seen, logins)
    _draw_backlog(table, seen, "lag_records", "lag_seconds")
    table.set_title("Not yet in the table", loc="left")
    _draw_backlog(spool, seen, "spool_rows", "spool_seconds")
    spool.set_title("Not yet in Kafka, on the disk of the mail host", loc="left")
    _draw_alerts(bars, seen, alerts)
    bars.set_xlim(0, seen.seconds)
    bars.set_xlabel("seconds")
    for axes in (rates, table, spool, bars):
        axes.spines["top"].set_visible(False)
        for away in outages:
            axes.axvspan(away.began, away.ended, color="#e4e0f5", zorder=0, linewidth=0)
    for away in outages:
        middle = (away.began + away.ended) / 2
        rates.text(
            middle,
            0.97,
            f"{away.what.capitalize()} is away",
            transform=rates.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=14,
            fontweight="bold",
        )
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, facecolor="white")


def _draw_rates(axes: "Axes", seen: Recording, logins: Points) -> None:
    """One upon the other, each thinner than the one below: all are seen while they are the same."""
    highest = _HIGHEST_RATE * max((value for _, value in logins), default=1.0)
    for points, label, color, width in (
        (logins, "users log in", _GREY, 9.0),
        (seen.series["acknowledged"], "the producer acknowledges", _BLUE, 5.5),
        (seen.series["published"], "Kafka has it", _ORANGE, 3.0),
        (seen.series["written"], "Cassandra has it", _GREEN, 1.3),
    ):
        axes.plot(*_columns(points), label=label, color=color, linewidth=width, solid_capstyle="butt")
        peak_at, peak = max(points, key=lambda point: point[1], default=(0.0, 0.0))
        if peak > highest:
            down_at = next((at for at, value in points if at > peak_at and value <= highest), peak_at)
            axes.text(down_at + 3, _PEAK_AT[color] * highest, f"up to {peak:.0f}/s", color=color, fontsize=12)
    axes.set_ylim(0, highest)
    axes.set_title("Logins per second", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False)
    axes.spines["right"].set_visible(False)


def _draw_backlog(axes: "Axes", seen: Recording, rows: str, age: str) -> None:
    """How many wait, and for how long, on two scales."""
    axes.fill_between(*_columns(seen.series[rows]), color=_BLUE, alpha=0.35, linewidth=0)
    axes.set_ylabel("logins (area)", color=_BLUE)
    axes.set_ylim(bottom=0)
    right = axes.twinx()
    right.plot(*_columns(seen.series[age]), color=_ORANGE, linewidth=2)
    right.set_ylabel("age of the oldest, s (line)", color=_ORANGE)
    right.set_ylim(bottom=0)
    right.spines["top"].set_visible(False)


def _draw_alerts(axes: "Axes", seen: Recording, alerts: list[str]) -> None:
    for each in seen.alerts:
        if each.what in alerts:
            pending, firing = _ALERT_COLORS[each.severity]
            color = firing if each.state == "firing" else pending
            axes.barh(alerts.index(each.what), each.ended - each.began, left=each.began, height=0.7, color=color)
    axes.set_yticks(range(len(alerts)), alerts)
    axes.set_ylim(len(alerts) - 0.4, -0.6)
    axes.set_title(
        f"Alerts, {TIMES_FASTER} times as fast as shipped: pages red, tickets yellow; pending pale", loc="left"
    )
    axes.spines["right"].set_visible(False)


def _columns(points: Points) -> tuple[list[float], list[float]]:
    return [at for at, _ in points], [value for _, value in points]
