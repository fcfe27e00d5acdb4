"""Tables: series as rows, merged and named as Grafana's transformations do."""

import math
from typing import Any

from lastlogin_dashboards.draw.canvas import DIM, EDGE, GRID, LINK, TEXT, Box, Canvas
from lastlogin_dashboards.draw.numbers import own
from lastlogin_dashboards.draw.prometheus import Asked
from lastlogin_dashboards.draw.values import by_thresholds, in_words


_ROW = 28.0
Row = dict[str, str | float]


def table(canvas: Canvas, box: Box, panel: dict[str, Any], asked: Asked) -> None:
    """Draw a `table` panel."""
    rows = _merged(panel, asked)
    config = panel["fieldConfig"]["defaults"]
    if not rows:
        canvas.words(box.x + box.w / 2, box.y + box.h / 2, config["noValue"], 16, DIM, to="center")
        return
    names = _columns(panel, rows)
    (by,) = panel["options"]["sortBy"]
    rows.sort(key=lambda row: str(row.get(by["displayName"], "")))
    fixed = {name: own(panel, name).get("custom.width") for name in names}
    room = box.w - 16 - sum(width or 0 for width in fixed.values())
    share = room / max(1, sum(width is None for width in fixed.values()))
    x = box.x + 8
    for name in names:
        width = fixed[name] or share
        canvas.words(x + 6, box.y + 14, name, 12, LINK, bold=True, within=width - 8)
        for at, row in enumerate(rows[: int((box.h - 30) / _ROW)]):
            if name in row:
                cell = Box(x, box.y + 28 + at * _ROW, width, _ROW)
                _cell(canvas, cell, row[name], config | own(panel, name))
        x += width
    for at in range(len(rows) + 1):
        y = box.y + 28 + at * _ROW
        if y < box.y + box.h:
            canvas.rule(box.x + 8, y, box.w - 16, GRID)


def _merged(panel: dict[str, Any], asked: Asked) -> list[Row]:
    rows: list[Row] = []
    for target in panel["targets"]:
        name = f"Value #{target['refId']}" if len(panel["targets"]) > 1 else "Value"
        for series in asked.at_end(target["expr"]):
            labels: Row = dict(series.labels)
            same = [row for row in rows if all(row.get(key, value) == value for key, value in labels.items())]
            into: Row = same[0] if same else {}
            if not same:
                rows.append(into)
            into.update(labels | {name: series.last})
    return rows


def _columns(panel: dict[str, Any], rows: list[Row]) -> list[str]:
    """Put the rows' fields in order, rename them in the rows, and return the names that are shown."""
    (options,) = (each["options"] for each in panel["transformations"] if each["id"] == "organize")
    places, renamed = options["indexByName"], options["renameByName"]
    fields = sorted({name for row in rows for name in row}, key=lambda name: (places.get(name, 99), name))
    shown = [name for name in fields if not options["excludeByName"].get(name)]
    for row in rows:
        for old, new in renamed.items():
            if old in row:
                row[new] = row[old]
    return [renamed.get(name, name) for name in shown]


def _cell(canvas: Canvas, box: Box, value: str | float, config: dict[str, Any]) -> None:
    kind = config.get("custom.cellOptions", {}).get("type", "auto")
    text, mapped = in_words(value, config)
    shade = mapped or TEXT
    if isinstance(value, float) and kind in ("color-text", "color-background", "gauge"):
        shade = mapped or by_thresholds(value, config["thresholds"])
    middle = box.y + box.h / 2
    if kind == "color-background":
        canvas.box(box.inside(left=2, top=3, right=6, bottom=3), shade)
        canvas.words(box.x + 8, middle, text, 12, "#14161a", bold=True)
    elif kind == "gauge" and isinstance(value, float):
        room = box.w - 62
        canvas.box(Box(box.x + 6, box.y + 8, room, box.h - 16), EDGE, rounded=False)
        full = 0.0 if math.isnan(value) else min(max(value / config["max"], 0), 1)
        canvas.box(Box(box.x + 6, box.y + 8, max(room * full, 2), box.h - 16), shade, rounded=False)
        canvas.words(box.x + box.w - 8, middle, text, 12, shade, to="right")
    else:
        canvas.words(box.x + 6, middle, text, 12, LINK if config.get("links") else shade, within=box.w - 10)
