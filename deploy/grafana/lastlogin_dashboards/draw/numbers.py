"""Single values: tiles and bars."""

import math
from typing import Any

from lastlogin_dashboards.draw.canvas import DIM, Box, Canvas
from lastlogin_dashboards.draw.prometheus import Asked, Series
from lastlogin_dashboards.draw.values import by_thresholds, in_words


_WHITE = "#ffffff"
_LARGEST, _SMALLEST = 44.0, 13.0
_BAR = 46.0


def tile(canvas: Canvas, box: Box, panel: dict[str, Any], asked: Asked) -> None:
    """Draw a `stat` panel: its values beside each other."""
    found: list[tuple[str, Series | None]] = []
    for target in panel["targets"]:
        series = asked.at_end(target["expr"]) if target["instant"] else asked.over_time(target["expr"], int(box.w / 2))
        found += [(each.named(target["legendFormat"]), each) for each in series]
    found = found or [("", None)]
    defaults = panel["fieldConfig"]["defaults"]
    width = box.w / len(found)
    for at, (name, one) in enumerate(found):
        config = defaults | own(panel, name)
        part = Box(box.x + at * width, box.y, width, box.h)
        _value(
            canvas,
            part,
            name if len(found) > 1 else "",
            one,
            config,
            solid=panel["options"]["colorMode"] == "background_solid",
            area=panel["options"]["graphMode"] == "area",
        )


def _value(
    canvas: Canvas, box: Box, name: str, series: Series | None, config: dict[str, Any], *, solid: bool, area: bool
) -> None:
    value = math.nan if series is None else series.last
    text, mapped = in_words(value, config)
    shade = mapped or by_thresholds(value, config["thresholds"])
    if solid:
        canvas.box(box.inside(left=3, right=3, bottom=3), shade)
    if area and series is not None:
        _spark(canvas, Box(box.x + 1, box.y + box.h * 0.6, box.w - 2, box.h * 0.4 - 1), series)
    middle, size = box.y + box.h * (0.58 if name else 0.4 if area else 0.46), min(_LARGEST, box.h * 0.5)
    while size > _SMALLEST and canvas.long(text, size, bold=True) > box.w - 24:
        size -= 1
    ink = _dark_on(shade) if solid else shade
    canvas.words(box.x + box.w / 2, middle, text, size, ink, bold=True, to="center")
    if name:
        canvas.words(box.x + box.w / 2, box.y + box.h * 0.17, name, 13, ink if solid else DIM, to="center")


def _dark_on(shade: str) -> str:
    red, green, blue = (int(shade[at : at + 2], 16) for at in (1, 3, 5))
    bright = 150
    return "#14161a" if 0.299 * red + 0.587 * green + 0.114 * blue > bright else _WHITE


def _spark(canvas: Canvas, box: Box, series: Series) -> None:
    axes = canvas.plot(box)
    axes.axis("off")
    axes.fill_between(series.times, series.values, color="#5794f2", alpha=0.25, linewidth=0)
    axes.plot(series.times, series.values, color="#5794f2", linewidth=1)
    axes.set_xlim(series.times[0], series.times[-1])
    axes.set_ylim(0, max((value for value in series.values if not math.isnan(value)), default=1) * 1.1 or 1)


def bars(canvas: Canvas, box: Box, panel: dict[str, Any], asked: Asked) -> None:
    """Draw a `bargauge` panel: a bar for each series."""
    (target,) = panel["targets"]
    config = panel["fieldConfig"]["defaults"]
    series = asked.at_end(target["expr"])
    if not series:
        canvas.words(box.x + box.w / 2, box.y + box.h / 2, config["noValue"], 16, DIM, to="center")
        return
    most = config.get("max") or max(each.last for each in series) or 1
    height = min(_BAR, (box.h - 8) / len(series))
    for at, each in enumerate(series):
        y = box.y + at * height
        text, mapped = in_words(each.last, config)
        shade = mapped or by_thresholds(each.last, config["thresholds"])
        canvas.words(box.x + 10, y + height * 0.24, each.named(target["legendFormat"]), 12, within=box.w - 20)
        left, top, room = box.x + 10, y + height * 0.46, box.w - 90
        canvas.box(Box(left, top, room, height * 0.44), "#24272d")
        filled = 0 if math.isnan(each.last) else min(max(each.last / most, 0), 1)
        canvas.box(Box(left, top, max(room * filled, 2), height * 0.44), shade)
        canvas.words(box.x + box.w - 10, top + height * 0.22, text, 13, shade, bold=True, to="right")


def own(panel: dict[str, Any], name: str, *, matcher: str = "byName") -> dict[str, Any]:
    """Return what the panel's overrides say of one field."""
    return {
        each["id"]: each["value"]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"] == {"id": matcher, "options": name}
        for each in override["properties"]
    }
