"""Panels as plain JSON, in the few forms that our dashboards use.

Not with `grafana-foundation-sdk`: its versions are ordered so that every resolver takes the one for Grafana 10.1
for the newest, the one for Grafana 12 has neither that name nor a number that says so, and what is easily wrong in a
dashboard (overrides, transformations, links in tables) is `object` in its types, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


Json = dict[str, Any]
# Where a colour begins; the first one has no lower end.
Steps = Sequence[tuple[float | None, str]]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}

# Green, orange and red say how good something is; what it is of is told by these.
ASKED, PRODUCER, KAFKA, TABLE = "#9fa7b3", "#5794f2", "#b877d9", "#37bbc8"
PALETTE = "palette-classic"
GOOD, WARN, BAD, WORST = "green", "orange", "red", "dark-red"
# Beside red, of which it is to be told apart: no answer, where red is an answer that says no.
FAILED = "#f2cc0c"
PLAIN: Steps = ((None, "text"),)

RATE = "suffix: /s"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and the name of its series."""

    expression: str
    legend: str = "__auto"
    colour: str = ""


# What is not known must not look good: without it a tile without a value has the colour of the lowest step.
_NOT_KNOWN = "#6b6f78"


def tile(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    steps: Steps = PLAIN,
    mappings: Sequence[Json] = (),
    overrides: Sequence[Json] = (),
    no_value: str = "no data",
    decimals: int | None = None,
    links: Sequence[Json] = (),
    spark: bool = False,
) -> Json:
    """Return a number (or a word) that can be read from afar."""
    coloured = len(steps) > 1 or bool(mappings)
    return {
        **_panel(
            "stat", title, description, [_target(query, at=at, instant=not spark) for at, query in _lettered(queries)]
        ),
        "links": list(links),
        "fieldConfig": {
            "defaults": {
                **_values(unit, steps, no_value, decimals),
                "mappings": [*mappings, _unknown(no_value)],
                "color": {"mode": "thresholds"},
            },
            "overrides": list(overrides),
        },
        "options": {
            "colorMode": "background_solid" if coloured else "value",
            "graphMode": "area" if spark else "none",
            "justifyMode": "center",
            "orientation": "auto",
            "textMode": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    }


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    steps: Steps = PLAIN,
    least: float | None = 0,
    most: float | None = None,
    stacked: bool = False,
    bars: bool = False,
    table: bool = False,
    no_value: str = "no data",
) -> Json:
    """Return lines over time; `steps` are drawn as dashed lines."""
    custom = {
        "drawStyle": "bars" if bars else "line",
        "lineWidth": 1 if bars else 2,
        "fillOpacity": 60 if bars else 25 if stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "axisSoftMin": 0,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if len(steps) > 1 else "off"},
    }
    return {
        **_panel("timeseries", title, description, [_target(query, at=at) for at, query in _lettered(queries)]),
        "fieldConfig": {
            "defaults": {
                **_values(unit, steps, no_value, None),
                **({} if least is None else {"min": least}),
                **({} if most is None else {"max": most}),
                "color": {"mode": PALETTE},
                "custom": custom,
            },
            "overrides": [
                override(at, {"color": {"mode": "fixed", "fixedColor": query.colour}}, matcher="byFrameRefID")
                for at, query in _lettered(queries)
                if query.colour
            ],
        },
        "options": {
            "legend": {
                "displayMode": "table" if table else "list",
                "placement": "right" if table else "bottom",
                "showLegend": True,
                "calcs": ["max", "lastNotNull"] if table else [],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def bars(title: str, description: str, unit: str, query: Query, *, steps: Steps, most: float | None = None) -> Json:
    """Return a bar for each series as it is now."""
    return {
        **_panel("bargauge", title, description, [_target(query, at="A", instant=True)]),
        "fieldConfig": {
            "defaults": {
                **_values(unit, steps, "no data", None),
                "min": 0,
                **({} if most is None else {"max": most}),
                "color": {"mode": "thresholds"},
            },
            "overrides": [],
        },
        "options": {
            "displayMode": "basic",
            "orientation": "horizontal",
            "valueMode": "color",
            "namePlacement": "top",
            "showUnfilled": True,
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    }


def heatmap(title: str, description: str, unit: str, query: Query) -> Json:
    """Return a histogram's buckets over time: the brighter, the more."""
    target = _target(query, at="A") | {"format": "heatmap"}
    return {
        **_panel("heatmap", title, description, [target]),
        "fieldConfig": {"defaults": {**_values("short", PLAIN, "no data", None), "custom": {}}, "overrides": []},
        "options": {
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Turbo", "scale": "exponential", "exponent": 0.5, "steps": 64},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
            "yAxis": {"axisPlacement": "left", "unit": unit},
        },
    }


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its query's values under a name; `unit` empty: what stands in the label of that name."""

    name: str
    expression: str = ""
    unit: str = ""
    steps: Steps = PLAIN
    decimals: int | None = None
    cell: str = "color-text"
    mappings: Sequence[Json] = ()
    links: Sequence[Json] = ()
    width: int | None = None
    most: float | None = None
    hidden: bool = False


def table(
    title: str, description: str, columns: Sequence[Column], *, without: Sequence[str] = (), no_value: str = "no data"
) -> Json:
    """Return a row for each set of labels, with columns in this order, sorted by the first one."""
    queries = [(at, column) for at, column in _lettered([each for each in columns if each.expression])]
    values = {f"Value #{at}" if len(queries) > 1 else "Value": column for at, column in queries}
    hidden = [name for name, column in values.items() if column.hidden]
    places = {name: columns.index(column) for name, column in values.items()}
    places |= {column.name: at for at, column in enumerate(columns) if not column.expression}
    return {
        **_panel(
            "table",
            title,
            description,
            [
                _target(Query(column.expression, ""), at=at, instant=True) | {"format": "table"}
                for at, column in queries
            ],
        ),
        "fieldConfig": {
            "defaults": {
                **_values("none", PLAIN, no_value, None),
                "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": False},
            },
            "overrides": [override(column.name, _cell(column)) for column in columns if not column.hidden],
        },
        "options": {
            "showHeader": True,
            "cellHeight": "sm",
            "footer": {"show": False, "reducer": ["sum"]},
            "sortBy": [{"displayName": columns[0].name, "desc": False}],
        },
        "transformations": [
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": dict.fromkeys(("Time", *without, *hidden), True),
                    "indexByName": places,
                    "renameByName": {name: column.name for name, column in values.items() if not column.hidden},
                },
            },
        ],
    }


def _cell(column: Column) -> Json:
    options: Json = {"type": column.cell}
    if column.cell in ("color-background", "gauge"):
        options["mode"] = "basic"
    custom: Json = {"cellOptions": options}
    if column.width:
        custom["width"] = column.width
    own: Json = {f"custom.{name}": value for name, value in custom.items()}
    if column.unit:
        own |= {"unit": column.unit, "thresholds": thresholds(column.steps), "color": {"mode": "thresholds"}}
    if column.decimals is not None:
        own["decimals"] = column.decimals
    if column.most is not None:
        own |= {"min": 0, "max": column.most}
    if column.mappings:
        own["mappings"] = list(column.mappings)
    if column.links:
        own["links"] = list(column.links)
    return own


def override(name: str, own: Mapping[str, Any], *, matcher: str = "byName") -> Json:
    """Return what is different for one field."""
    properties = [{"id": key, "value": value} for key, value in own.items()]
    return {"matcher": {"id": matcher, "options": name}, "properties": properties}


def words(*named: tuple[float | str, str, str]) -> Json:
    """Return a mapping of values to words: value, word, colour."""
    options = {
        str(value): {"text": word, "color": colour, "index": at} for at, (value, word, colour) in enumerate(named)
    }
    return {"type": "value", "options": options}


def _unknown(word: str) -> Json:
    return {"type": "special", "options": {"match": "null+nan", "result": {"text": word, "color": _NOT_KNOWN}}}


def between(least: float, most: float, word: str, colour: str) -> Json:
    """Return a mapping of a range to a word."""
    return {"type": "range", "options": {"from": least, "to": most, "result": {"text": word, "color": colour}}}


def link(title: str, url: str) -> Json:
    """Return a link, for a panel or a field."""
    return {"title": title, "url": url, "targetBlank": True}


def thresholds(steps: Steps) -> Json:
    """Return Grafana's form."""
    return {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in steps]}


def text(content: str) -> Json:
    """Return sentences."""
    return {
        "type": "text",
        "title": "",
        "description": "How to read this page.",
        "transparent": True,
        "options": {"mode": "markdown", "content": content},
    }


def _lettered(queries: Sequence[Any]) -> list[tuple[str, Any]]:
    return list(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", queries, strict=False))


def _panel(kind: str, title: str, description: str, targets: Sequence[Json]) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": list(targets),
    }


def _target(query: Query, *, at: str, instant: bool = False) -> Json:
    return {
        "refId": at,
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.expression,
        "legendFormat": query.legend,
        "instant": instant,
        "range": not instant,
        "format": "time_series",
    }


def _values(unit: str, steps: Steps, no_value: str, decimals: int | None) -> Json:
    own: Json = {"unit": unit, "thresholds": thresholds(steps), "noValue": no_value}
    return own if decimals is None else own | {"decimals": decimals}
