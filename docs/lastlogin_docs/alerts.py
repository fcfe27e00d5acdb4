"""`alerts.md`: the rules for Prometheus, with the table of all alerts taken from them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml


_HERE = Path(__file__).parent
_RULES = _HERE.parents[1] / "deploy" / "prometheus" / "lastlogin.rules.yml"


def alerts_page() -> str:
    """Text of the page."""
    text = (_HERE / "alerts.template.md").read_text("utf-8")
    for severity in ("page", "ticket"):
        text = text.replace(f"@{severity}@", "\n".join(_row(alert) for alert in alerts(severity)))
    return text


def alerts(severity: str) -> Iterator[Mapping[str, Any]]:
    """All alerts of that severity, in the order of the file."""
    for group in yaml.safe_load(_RULES.read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            if "alert" in rule and rule["labels"]["severity"] == severity:
                yield rule


def _row(alert: Mapping[str, Any]) -> str:
    section = alert["annotations"]["runbook_url"].partition("#")[2]
    title = section.capitalize().replace("-", " ")
    return (
        f"| `{alert['alert']}` | {alert['annotations']['summary']} | {alert.get('for', 'at once')} "
        f"| [{title}](runbook.md#{section}) |"
    )
