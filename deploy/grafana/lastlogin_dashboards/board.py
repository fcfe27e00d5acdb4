"""A whole dashboard: its panels in bands from top to bottom, its variables, annotations and links."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lastlogin_dashboards.panels import DATASOURCE, Json
from lastlogin_dashboards.runbook import RUNBOOK, firing


# Grafana's grid is 24 wide; a unit of height is 38 pixels with its gap.
_WIDTH = 24
_TAG = "lastlogin"


@dataclass(frozen=True, slots=True)
class Band:
    """Panels beside each other, all as high; they share the width by `widths`, or equally."""

    height: int
    panels: tuple[Json, ...]
    widths: tuple[int, ...] = ()


def row(title: str) -> Band:
    """Return the title of the bands below it."""
    return Band(1, ({"type": "row", "title": title, "collapsed": False, "panels": []},))


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of the dashboard: values of a label, several or all of them.

    "All" matches every value and the label's absence, so that a Prometheus that sets no `cluster` shows all.
    """

    name: str
    series: str
    label: str

    def document(self) -> Json:
        """Return Grafana's form."""
        query = f"label_values({self.series}, {self.label})"
        return {
            "name": self.name,
            "label": self.name.capitalize(),
            "type": "query",
            "datasource": DATASOURCE,
            "definition": query,
            "query": {"query": query, "refId": f"variable-{self.name}", "qryType": 1},
            "refresh": 2,
            "sort": 7,
            "regex": "",
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
            "options": [],
            "hide": 0,
        }


CLUSTER = Variable("cluster", 'up{job=~"lastlogin-.*"}', "cluster")
BACKEND = Variable("backend", 'up{job="lastlogin-producer",cluster=~"$cluster"}', "instance")
TOPIC = Variable("topic", 'lastlogin_consumer_lag_records{cluster=~"$cluster"}', "topic")


@dataclass(frozen=True, slots=True)
class Board:
    """What is particular to one dashboard."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    bands: tuple[Band, ...]
    refresh: str = "30s"
    shown: str = "now-1h"

    def document(self) -> Json:
        """Return the dashboard as Grafana reads it.

        It cannot be edited in Grafana, for the next provisioning would undo that: what is wrong here is mended here.
        """
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [_TAG],
            "schemaVersion": 41,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": self.refresh,
            "time": {"from": self.shown, "to": "now"},
            "timezone": "browser",
            "weekStart": "",
            "fiscalYearStartMonth": 0,
            "timepicker": {"refresh_intervals": ["10s", "30s", "1m", "5m", "15m"]},
            "links": _links(),
            "annotations": {"list": [_firing("page", "red"), _firing("ticket", "orange")]},
            "templating": {"list": [_datasource(), *(variable.document() for variable in self.variables)]},
            "panels": list(self._panels()),
        }

    def _panels(self) -> Iterator[Json]:
        y, number = 0, 1
        for band in self.bands:
            x = 0
            for panel, width in zip(band.panels, band.widths or _equal(band.panels), strict=True):
                yield {"id": number, **panel, "gridPos": {"x": x, "y": y, "w": width, "h": band.height}}
                x, number = x + width, number + 1
            y += band.height


def _equal(panels: Sequence[Json]) -> tuple[int, ...]:
    return (_WIDTH // len(panels),) * len(panels)


def _datasource() -> Json:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "current": {},
        "options": [],
        "hide": 0,
    }


def _links() -> list[Json]:
    common = {"includeVars": True, "keepTime": True, "asDropdown": False, "icon": "external link", "tooltip": ""}
    return [
        {**common, "type": "dashboards", "title": "lastlogin", "tags": [_TAG], "targetBlank": False, "url": ""},
        {**common, "type": "link", "title": "Runbook", "tags": [], "targetBlank": True, "url": RUNBOOK},
    ]


def _firing(severity: str, colour: str) -> Json:
    return {
        "name": f"Alerts ({severity})",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": colour,
        "expr": firing(severity),
        "step": "30s",
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}} {{cluster}} {{instance}}",
        "useValueForTime": False,
    }
