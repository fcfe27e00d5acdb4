"""What happens over time: lines, bars, areas, and heat maps of histograms."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from lastlogin_dashboards.draw.canvas import DIM, LINK, TEXT, Box, Canvas
from lastlogin_dashboards.draw.numbers import own
from lastlogin_dashboards.draw.prometheus import Asked, Series
from lastlogin_dashboards.draw.values import colour, from_palette, with_unit


# Seconds between marks of the time axis.
_TICKS = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_PIXELS_A_TICK = 80
_MOST_IN_LEGEND = 14
_MARKS = 5


@dataclass(frozen=True, slots=True)
class Marked:
    """Of `times`, those at which something of one colour began, and all while it lasted."""

    colour: str
    times: Sequence[float]
    begun: Sequence[float]
    lasting: Collection[float]

    def on(self, axes: Axes) -> None:
        """Draw a line at each beginning, on a shade."""
        lasting = [time in self.lasting for time in self.times]
        whole = axes.get_xaxis_transform()
        axes.fill_between(self.times, 0, 1, where=lasting, color=self.colour, alpha=0.07, linewidth=0, transform=whole)
        for begun in self.begun:
            axes.axvline(begun, color=self.colour, linewidth=0.9, linestyle=(0, (3, 2)))


def lines(canvas: Canvas, box: Box, panel: dict[str, Any], asked: Asked, firing: Sequence[Marked]) -> None:
    """Draw a `timeseries` panel; `firing` are the times of alerts."""
    config, options = panel["fieldConfig"]["defaults"], panel["options"]
    found = _found(panel, asked, int(box.w))
    if not found:
        canvas.words(box.x + box.w / 2, box.y + box.h / 2 - 8, config["noValue"], 16, DIM, to="center")
        return
    right = options["legend"]["placement"] == "right"
    legend_h = 0 if right else _legend_below(canvas, box, found)
    legend_w = min(400.0, box.w * 0.44) if right else 0
    axes = canvas.plot(box.inside(left=56, top=8, right=14 + legend_w, bottom=24 + legend_h))
    for marked in firing:
        marked.on(axes)
    _time_axis(axes, asked, box.w - 70 - legend_w)
    bottom, top = _draw(axes, found, config)
    if config["custom"]["thresholdsStyle"]["mode"] == "dashed":
        for step in config["thresholds"]["steps"]:
            if step["value"] is not None and step["value"] <= top:
                axes.axhline(step["value"], color=colour(step["color"]), linewidth=0.9, linestyle=(0, (5, 4)))
    axes.set_ylim(bottom, top)
    axes.yaxis.set_major_locator(_marks(top, config["unit"]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: with_unit(value, config["unit"])))
    if right:
        _legend_beside(canvas, Box(box.x + box.w - legend_w, box.y, legend_w, box.h), found, config["unit"])


def _marks(top: float, unit: str) -> MultipleLocator | MaxNLocator:
    """Return where the values' axis has its marks: at whole minutes and hours, and at powers of two of bytes."""
    if unit == "s" and top > _TICKS[2]:
        return MultipleLocator(next((tick for tick in _TICKS if top / tick <= _MARKS), _TICKS[-1]))
    if unit == "bytes":
        return MultipleLocator(2.0 ** math.ceil(math.log2(top / _MARKS)))
    return MaxNLocator(_MARKS)


def _found(panel: dict[str, Any], asked: Asked, width: int) -> list[tuple[str, str, Series]]:
    """Return all series that have a value, with names and colours."""
    found: list[tuple[str, str, Series]] = []
    for target in panel["targets"]:
        fixed = own(panel, target["refId"], matcher="byFrameRefID").get("color", {}).get("fixedColor")
        for series in asked.over_time(target["expr"], width):
            if not math.isnan(series.last):
                shade = colour(fixed) if fixed else from_palette(len(found))
                found.append((series.named(target["legendFormat"]), shade, series))
    return found


def _draw(axes: Axes, found: Sequence[tuple[str, str, Series]], config: dict[str, Any]) -> tuple[float, float]:
    """Draw the series and return where the axis begins and ends."""
    custom = config["custom"]
    filled, stacked = custom["fillOpacity"] / 100, custom["stacking"]["mode"] == "normal"
    below = np.zeros(len(found[0][2].times))
    lowest = highest = 0.0
    for _, shade, series in found:
        times, values = np.array(series.times), np.array(series.values)
        if stacked:
            values = below + np.nan_to_num(values)
        if custom["drawStyle"] == "bars":
            axes.bar(times, values, width=(times[1] - times[0]) * 0.8, color=shade, alpha=0.8)
        else:
            axes.fill_between(times, below if stacked else 0, values, color=shade, alpha=filled, linewidth=0)
            axes.plot(times, values, color=shade, linewidth=1.3, marker="." if _alone(series) else None, markersize=3)
        if stacked:
            below = values
        finite = values[np.isfinite(values)]
        lowest, highest = min(lowest, float(finite.min(initial=0))), max(highest, float(finite.max(initial=0)))
    return float(config.get("min", lowest * 1.12)), float(config.get("max", highest * 1.12 or 1))


def _alone(series: Series) -> bool:
    """Tell whether a value stands between two that are not there, so that no line leads to it."""
    there = [not math.isnan(value) for value in (math.nan, *series.values, math.nan)]
    return any(here and not (before or after) for before, here, after in zip(there, there[1:], there[2:], strict=False))


def _time_axis(axes: Axes, asked: Asked, width: float) -> None:
    each = next((tick for tick in _TICKS if (asked.end - asked.begin) / tick * _PIXELS_A_TICK <= width), _TICKS[-1])
    # One at the very left would meet the lowest value.
    first = math.ceil((asked.begin + each / _MARKS) / each) * each
    axes.set_xticks(np.arange(first, asked.end, each))
    form = "%H:%M:%S" if each < _TICKS[2] else "%H:%M" if asked.end - asked.begin < _TICKS[-1] else "%m-%d %H:%M"
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: datetime.fromtimestamp(value).strftime(form)))  # noqa: DTZ006
    axes.set_xlim(asked.begin, asked.end)


def _legend_below(canvas: Canvas, box: Box, found: Sequence[tuple[str, str, Series]]) -> float:
    """Write the names below a plot; return how high that is."""
    rows: list[list[tuple[str, str, float]]] = [[]]
    x = 0.0
    for name, shade, _ in found[:_MOST_IN_LEGEND]:
        width = canvas.long(name, 12) + 34
        if x and x + width > box.w - 20:
            rows.append([])
            x = 0
        rows[-1].append((name, shade, x))
        x += width
    for at, row in enumerate(rows):
        y = box.y + box.h - 12 - (len(rows) - 1 - at) * 18
        for name, shade, offset in row:
            canvas.box(Box(box.x + 12 + offset, y - 2, 14, 4), shade)
            canvas.words(box.x + 31 + offset, y, name, 12, TEXT)
    return 18 * len(rows) + 2


def _legend_beside(canvas: Canvas, box: Box, found: Sequence[tuple[str, str, Series]], unit: str) -> None:
    """Write a table with names, highest and last values."""
    ends = (box.x + box.w - 80, box.x + box.w - 12)
    for end, head in zip(ends, ("max", "last"), strict=True):
        canvas.words(end, box.y + 14, head, 12, LINK, to="right")
    for at, (name, shade, series) in enumerate(found[:_MOST_IN_LEGEND]):
        y = box.y + 36 + at * 20
        canvas.box(Box(box.x + 4, y - 2, 14, 4), shade)
        canvas.words(box.x + 24, y, name, 12, within=box.w - 170)
        highest = max(value for value in series.values if not math.isnan(value))
        for end, value in zip(ends, (highest, series.last), strict=True):
            canvas.words(end, y, with_unit(value, unit), 12, to="right")


def heat(canvas: Canvas, box: Box, panel: dict[str, Any], asked: Asked) -> None:
    """Draw a `heatmap` panel of a histogram's cumulative buckets."""
    (target,) = panel["targets"]
    series = sorted(asked.over_time(target["expr"], int(box.w / 9)), key=lambda each: float(each.labels["le"]))
    if not series:
        canvas.words(box.x + box.w / 2, box.y + box.h / 2, "no data", 16, DIM, to="center")
        return
    counts = np.diff(np.nan_to_num(np.array([each.values for each in series])), axis=0, prepend=0)
    times = np.array([*series[0].times, 2 * series[0].times[-1] - series[0].times[-2]])
    used = np.flatnonzero(counts.max(axis=1) > 0)
    low, high = max(used[0] - 1, 0), min(used[-1] + 2, len(series))
    axes = canvas.plot(box.inside(left=56, top=8, right=14, bottom=28))
    axes.grid(visible=False)
    axes.pcolormesh(
        times,
        np.arange(high - low + 1),
        np.where(counts > 0, counts, np.nan)[low:high],
        cmap="turbo",
        norm=PowerNorm(0.5, vmin=0),
        edgecolors="#181b1f",
        linewidth=0.4,
    )
    unit = panel["options"]["yAxis"]["unit"]
    axes.set_yticks(np.arange(1, high - low + 1))
    axes.set_yticklabels(
        [
            with_unit(float(each.labels["le"]), unit) if each.labels["le"] != "+Inf" else "more"
            for each in series[low:high]
        ]
    )
    _time_axis(axes, asked, box.w - 70)
