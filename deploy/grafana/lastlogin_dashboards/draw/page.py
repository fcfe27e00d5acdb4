"""The whole dashboard as one picture."""

from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from lastlogin_dashboards.draw.canvas import DIM, EDGE, PANEL, TEXT, Box, Canvas
from lastlogin_dashboards.draw.numbers import bars, tile
from lastlogin_dashboards.draw.plots import Marked, heat, lines
from lastlogin_dashboards.draw.prometheus import Asked
from lastlogin_dashboards.draw.tables import table
from lastlogin_dashboards.draw.values import colour


_WIDTH = 1600
_UNIT_H, _GAP = 34, 8
_HEAD, _FOOT, _TITLE = 46, 26, 30
_COLUMNS = 24
_HOW = (
    "Drawn by lastlogin_dashboards.draw from what Prometheus answers to the dashboard's own queries; not a screenshot."
)


def picture(document: dict[str, Any], asked: Asked, to: Path) -> None:
    """Write a picture of a dashboard. Raises `Unanswered`."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in document["panels"])
    canvas = Canvas(_WIDTH, _HEAD + rows * _UNIT_H + _FOOT)
    _head(canvas, document, asked)
    firing = _firing(document, asked)
    for panel in document["panels"]:
        at = panel["gridPos"]
        column = (_WIDTH - _GAP) / _COLUMNS
        box = Box(_GAP + at["x"] * column, _HEAD + at["y"] * _UNIT_H, at["w"] * column - _GAP, at["h"] * _UNIT_H - _GAP)
        _panel(canvas, box, panel, asked, firing)
    canvas.words(_WIDTH / 2, canvas.height - _FOOT / 2, _HOW, 12, DIM, to="center")
    to.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(to)


def _head(canvas: Canvas, document: dict[str, Any], asked: Asked) -> None:
    canvas.words(14, _HEAD / 2, document["title"], 18, bold=True)
    begin, end = (datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M:%S") for moment in (asked.begin, asked.end))  # noqa: DTZ006
    x = _WIDTH - 14 - canvas.words(_WIDTH - 14, _HEAD / 2, f"{begin} to {end[11:]}", 13, DIM, to="right") - 24
    for variable in reversed(document["templating"]["list"]):
        if variable["type"] == "query":
            x -= canvas.words(x, _HEAD / 2, "All", 13, TEXT, to="right") + 8
            x -= canvas.words(x, _HEAD / 2, variable["label"], 13, DIM, to="right") + 20


def _firing(document: dict[str, Any], asked: Asked) -> list[Marked]:
    """Return when alerts of each annotation's colour began to fire, and from when to when any of them did."""
    found = []
    for annotation in document["annotations"]["list"]:
        series = asked.over_time(annotation["expr"], _WIDTH)
        firing = [{time for time, value in zip(each.times, each.values, strict=True) if value == 1} for each in series]
        times = series[0].times if series else []
        begun = {
            here for one in firing for before, here in pairwise((0.0, *times)) if here in one and before not in one
        }
        found.append(Marked(colour(annotation["iconColor"]), times, sorted(begun), set().union(*firing)))
    return found


def _panel(canvas: Canvas, box: Box, panel: dict[str, Any], asked: Asked, firing: list[Marked]) -> None:
    if panel["type"] == "row":
        canvas.words(box.x + 4, box.y + box.h / 2 + 2, f"⌄  {panel['title']}", 15, TEXT, bold=True)
        return
    if panel["type"] == "text":
        canvas.paragraph(box.inside(left=6, top=4, right=6), panel["options"]["content"], 14)
        return
    canvas.box(box, PANEL, edge=EDGE)
    canvas.words(box.x + 10, box.y + _TITLE / 2 + 1, panel["title"], 13.5, TEXT, bold=True, within=box.w - 20)
    body = box.inside(top=_TITLE)
    match panel["type"]:
        case "stat":
            tile(canvas, body, panel, asked)
        case "timeseries":
            lines(canvas, body, panel, asked, firing)
        case "table":
            table(canvas, body, panel, asked)
        case "bargauge":
            bars(canvas, body, panel, asked)
        case "heatmap":
            heat(canvas, body, panel, asked)
        case kind:
            raise NotImplementedError(f"panels of the type {kind} cannot be drawn")
