"""What became of outages, as one picture: rates, what is behind, what waits on the mail host, alerts."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lastlogin_stack.recording import Points, Recording, Stretch


_BLUE, _GREEN, _ORANGE, _RED, _GREY = "#1f77b4", "#2a9d4a", "#e08214", "#c62828", "#8a8f98"


def draw(seen: Recording, outages: Sequence[Stretch], logins: Points, picture: Path) -> None:
    """Write the picture. `logins` are those that got in, per second."""
    alerts = sorted({each.what for each in seen.pending + seen.firing})
    figure = Figure(figsize=(14, 8.4 + 0.28 * len(alerts)), dpi=100, layout="constrained")
    rates, lag, spool, bars = figure.subplots(
        4, sharex=True, height_ratios=[2.6, 1.7, 1.7, 0.5 + 0.28 * max(1, len(alerts))]
    )

    _lines(rates, logins, "logins that got in", _GREY, width=5.0)
    for name, color in (("acknowledged", _BLUE), ("published", _ORANGE), ("written", _GREEN)):
        _lines(rates, seen.series[name], name, color)
    usual = max((value for _, value in logins), default=1.0)
    rates.set_ylim(0, 3 * usual)
    rates.set_ylabel("per second")
    rates.legend(loc="upper right", ncols=4, frameon=False)

    _two(lag, seen, "lag", "not yet in the table")
    _two(spool, seen, "spool", "not yet in Kafka")

    for state, color in ((seen.pending, "#f2b8b5"), (seen.firing, _RED)):
        for each in state:
            bars.barh(alerts.index(each.what), each.ended - each.began, left=each.began, height=0.7, color=color)
    bars.set_yticks(range(len(alerts)), alerts)
    bars.set_ylim(len(alerts) - 0.4, -0.6)
    bars.set_title("alerts: pending (light), firing (red)", loc="left", fontsize=11)

    bars.set_xlim(0, seen.seconds)
    bars.set_xlabel("seconds")
    for axes in (rates, lag, spool, bars):
        axes.spines[["top", "right"]].set_visible(False)
        for away in outages:
            axes.axvspan(away.began, away.ended, color="#d9d4f0", alpha=0.45, zorder=0, linewidth=0)
    for away in outages:
        middle = (away.began + away.ended) / 2
        rates.annotate(
            f"no {away.what.capitalize()}",
            (middle, 1),
            (0, -6),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=13,
            fontweight="bold",
        )
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, facecolor="white")


def _lines(axes: Axes, points: Points, label: str, color: str, width: float = 1.8) -> None:
    alpha = 0.35 if width > 2 else 1.0
    axes.plot([at for at, _ in points], [value for _, value in points], label=label, color=color, lw=width, alpha=alpha)


def _two(axes: Axes, seen: Recording, name: str, what: str) -> None:
    """Draw how many and how old on two scales."""
    axes.set_title(f"{what}: logins (left), age of the oldest in seconds (right, dashed)", loc="left", fontsize=11)
    rows = seen.series[f"{name}_{'records' if name == 'lag' else 'rows'}"]
    axes.fill_between([at for at, _ in rows], [value for _, value in rows], color=_BLUE, alpha=0.3, linewidth=0)
    axes.set_ylabel("logins", color=_BLUE)
    axes.set_ylim(bottom=0)
    age = axes.twinx()
    points = seen.series[f"{name}_seconds"]
    age.plot([at for at, _ in points], [value for _, value in points], color=_ORANGE, lw=1.8, ls="--")
    age.set_ylabel("seconds", color=_ORANGE)
    age.set_ylim(bottom=0)
    age.spines[["top"]].set_visible(False)
