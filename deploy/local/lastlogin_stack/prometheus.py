"""Prometheus on the two services of a stack, with the configuration and the rules that we ship, in less time."""

import json
import re
import subprocess
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from lastlogin_stack.errors import NotReady, StackError
from lastlogin_stack.layout import PROJECT_ROOT
from lastlogin_stack.server import PROBE_TIMEOUT_S, Server, find_program


SHIPPED = PROJECT_ROOT / "deploy" / "prometheus"
RULES = "lastlogin.rules.yml"
# A second stands for a minute: a whole outage of an hour, which every alert must tell of, takes a minute.
TIMES_FASTER = 60
# Not faster by as much: it is also the time within which a service must answer, here beside all the others.
_SCRAPE_INTERVAL = "1s"

_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
# What an alert waits, how often a group is evaluated; ranges, steps and offsets of expressions.
_TIMES = re.compile(
    rf"\b(?:for|keep_firing_for|interval):\s*{_DURATION.pattern}"
    rf"|\boffset\s+{_DURATION.pattern}|\[{_DURATION.pattern}(?::(?:{_DURATION.pattern})?)?\]"
)
# The age from which something is late enough for an alert. Not the 5 s of the promise: logins come no faster.
_AGE = re.compile(r"((?:lag|age)_seconds(?::max)?\s*>\s*(?:bool\s+)?)(\d{2,})\b")


def scaled(text: str, times_faster: int = TIMES_FASTER) -> str:
    """Return rules of Prometheus of which all that takes time takes only a part of it."""

    def shorter(found: re.Match[str]) -> str:
        total_ms = sum(int(number) * _MS[unit] for number, unit in re.findall(r"(\d+)([a-z]+)", found[0]))
        return f"{round(total_ms / times_faster)}ms"

    text = _TIMES.sub(lambda found: _DURATION.sub(shorter, found[0]), text)
    return _AGE.sub(lambda found: f"{found[1]}{int(found[2]) / times_faster:g}", text)


class Prometheus(Server):
    """Debian's Prometheus on `layout.prometheus_port`."""

    name = "prometheus"

    @property
    def ports(self) -> tuple[int, ...]:
        """Its pages and its API."""
        return (self.layout.prometheus_port,)

    def configuration(self) -> str:
        """Return prometheus.yml: the jobs, labels and rules that we ship, with the addresses of this stack."""
        shipped: dict[str, Any] = yaml.safe_load((SHIPPED / "prometheus.yml").read_text("utf-8"))
        ports = {
            "lastlogin-producer": self.layout.producer_metrics_port,
            "lastlogin-consumer": self.layout.consumer_metrics_port,
        }
        jobs = [job for job in shipped["scrape_configs"] if job["job_name"] in ports]
        for job in jobs:
            for each in job["static_configs"]:
                each["targets"] = [f"{self.address}:{ports[job['job_name']]}"]
        times = {"scrape_interval": _SCRAPE_INTERVAL, "evaluation_interval": _SCRAPE_INTERVAL}
        return str(yaml.safe_dump({"global": times, "rule_files": [RULES], "scrape_configs": jobs}, sort_keys=False))

    def prepare(self) -> None:
        """Write configuration and rules, and have promtool look at them. Raises `StackError`."""
        (self.directory / "prometheus.yml").write_text(self.configuration(), "utf-8")
        (self.directory / RULES).write_text(scaled((SHIPPED / RULES).read_text("utf-8")), "utf-8")
        check = [find_program("promtool"), "check", "config", "prometheus.yml"]
        done = subprocess.run(check, cwd=self.directory, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"{self.name}: promtool finds fault with {self.directory}:\n{done.stdout}{done.stderr}")

    def command(self) -> list[str]:
        """Return the server on data of its own."""
        return [
            find_program("prometheus"),
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--storage.tsdb.retention.time=1d",
            "--storage.tsdb.retention.size=200MB",
            f"--web.listen-address={self.endpoint}",
            "--log.level=warn",
        ]

    def probe(self) -> None:
        """Ask whether it is ready: its log of what it has scraped is read."""
        try:
            with urlopen(f"http://{self.endpoint}/-/ready", timeout=PROBE_TIMEOUT_S):
                pass
        except HTTPError as error:
            raise NotReady(str(error.read(), "utf-8").strip()) from None

    def ask(self, what: str, **parameters: str | float) -> Any:
        """Return `data` of an answer of its API, such as `ask("query", query="up")`. Raises `StackError`."""
        path = f"/api/v1/{what}?{urlencode(parameters)}"
        try:
            with urlopen(f"http://{self.endpoint}{path}", timeout=10 * PROBE_TIMEOUT_S) as answer:
                return json.load(answer)["data"]
        except HTTPError as error:
            raise StackError(f"{self.name}: {what} {parameters}: {json.load(error)['error']}") from None
        except OSError as error:
            raise StackError(f"{self.name}: {path}: {error}") from None

    def alerts(self, **labels: str) -> set[str]:
        """Return the names of alerts that are pending or fire and have these labels, such as `alertstate`."""
        chosen = ",".join(f'{name}="{value}"' for name, value in labels.items())
        found = self.ask("query", query=f"ALERTS{{{chosen}}}")["result"]
        return {each["metric"]["alertname"] for each in found}
