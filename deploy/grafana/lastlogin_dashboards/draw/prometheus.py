"""Questions to a Prometheus, with Grafana's variables put in as Grafana would."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen


_DEADLINE_S = 30.0
# Steps that Grafana may choose, in seconds.
_STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


class Unanswered(Exception):
    """Prometheus cannot be reached, or refuses a query; the message says why."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one set of labels; not a number where there is none."""

    labels: Mapping[str, str]
    times: list[float]
    values: list[float]

    @property
    def last(self) -> float:
        """The last value that is one."""
        return next((value for value in reversed(self.values) if not math.isnan(value)), math.nan)

    def named(self, legend: str) -> str:
        """Return its name by Grafana's format of legends."""
        if legend in ("", "__auto"):
            return ", ".join(value for name, value in self.labels.items() if name != "__name__") or "Value"
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: self.labels.get(found[1], ""), legend).strip()


@dataclass(frozen=True, slots=True)
class Asked:
    """A Prometheus, and the time of which it is asked; all of each variable's values are chosen unless told."""

    url: str
    begin: float
    end: float
    scrape_s: float
    chosen: Mapping[str, str] = field(default_factory=dict)

    def over_time(self, expression: str, points: int) -> list[Series]:
        """Ask for values over the time, at most so many of each series. Raises `Unanswered`."""
        step = next((step for step in _STEPS if step >= max((self.end - self.begin) / points, self.scrape_s)), 86400)
        begin, end = self.begin // step * step, self.end // step * step
        times = [begin + at * step for at in range(int((end - begin) / step) + 1)]
        text = self._filled(expression, step)
        told = self._get("query_range", query=text, start=f"{begin}", end=f"{end}", step=f"{step}")
        found = []
        for each in told:
            values = {float(time): float(value) for time, value in each["values"]}
            found.append(Series(each["metric"], times, [values.get(time, math.nan) for time in times]))
        return found

    def at_end(self, expression: str) -> list[Series]:
        """Ask for values at the end of the time. Raises `Unanswered`."""
        told = self._get("query", query=self._filled(expression, self.scrape_s), time=f"{self.end}")
        return [Series(each["metric"], [self.end], [float(each["value"][1])]) for each in told]

    def _filled(self, expression: str, step: float) -> str:
        own = {
            "__rate_interval": f"{max(step + self.scrape_s, 4 * self.scrape_s):.0f}s",
            "__interval": f"{step:.0f}s",
            "__range": f"{self.end - self.begin:.0f}s",
        }
        return re.sub(r"\$(\w+)", lambda found: own.get(found[1]) or self.chosen.get(found[1], ".*"), expression)

    def _get(self, what: str, **parameters: str) -> list[dict[str, Any]]:
        try:
            with urlopen(f"{self.url}/api/v1/{what}?{urlencode(parameters)}", timeout=_DEADLINE_S) as answer:  # noqa: S310 - the user's own URL
                told: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except HTTPError as error:
            raise Unanswered(f"{parameters['query']}: {error.read().decode(errors='replace')}") from error
        except (URLError, TimeoutError, ValueError) as error:
            raise Unanswered(f"{error}") from error
        return sorted(told, key=lambda each: sorted(each["metric"].items()))
