"""Alerts, and the section of the runbook that each one leads to: what the rules say in `runbook_url`."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml


_RULES = Path(__file__).resolve().parents[2] / "prometheus" / "lastlogin.rules.yml"


def _pages() -> dict[str, str]:
    """Return the page of the runbook by alert."""
    rules: dict[str, Any] = yaml.safe_load(_RULES.read_text(encoding="utf-8"))
    return {
        rule["alert"]: rule["annotations"]["runbook_url"]
        for group in rules["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


_PAGES = _pages()
RUNBOOK = next(iter(_PAGES.values())).partition("#")[0]


def firing(severity: str = ".*", alert: str = "LastLogin.*") -> str:
    """Return the alerts that fire, in the clusters chosen, as series."""
    return f'ALERTS{{alertname=~"{alert}",alertstate="firing",severity=~"{severity}",cluster=~"$cluster"}}'


def with_section(expression: str) -> str:
    """Return an expression whose series have the label `runbook`, too: the section about their `alertname`.

    Alerts as series carry no annotations, so the table of alerts would know no link without it.
    """
    alerts = defaultdict(list)
    for alert, page in _PAGES.items():
        alerts[page.partition("#")[2]].append(alert)
    for section, names in sorted(alerts.items()):
        expression = f'label_replace({expression}, "runbook", "{section}", "alertname", "{"|".join(sorted(names))}")'
    return expression
