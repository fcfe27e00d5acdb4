"""What audits tell Prometheus, as the text of a file for node_exporter's textfile collector. Pure."""

import re

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from lastlogin_ops.audit.report import Report
from lastlogin_ops.audit.verdicts import WRONG


PREFIX = "lastlogin_audit"
# Lines of every metric but the exit code, which each audit tells anew.
_KEPT = re.compile(rf"(?:# (?:HELP|TYPE) )?{PREFIX}_(?!exit_code\b)")


class AuditMetrics:
    """Everything that an audit tells, in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, told: str, *labels: str) -> Gauge:
            return Gauge(f"{PREFIX}_{name}", told, labels, registry=registry)

        self.missing = gauge(
            "missing_messages", "Numbers missing in the sequences of producers, of all holes together."
        )
        self.wrong_rows = gauge("wrong_rows", "Rows that are wrong or missing, by what is wrong.", "verdict")
        for verdict in WRONG:
            self.wrong_rows.labels(verdict.value)
        self.unreadable = gauge("unreadable_records", "Records that Kafka has and cannot give.")
        self.not_set_aside = gauge(
            "not_set_aside_records", "Records that are no logins and were passed without a dead letter."
        )
        self.completed_at = gauge(
            "completed_timestamp_seconds",
            "When the last audit that could judge ended, since 1970; the numbers are its.",
        )
        self.duration = gauge("duration_seconds", "How long that audit took.")
        self.exit_code = _exit_code(registry)


def judged(report: Report, code: int, completed_at_s: float, duration_s: float) -> str:
    """Text after an audit that could judge."""
    registry = CollectorRegistry()
    metrics = AuditMetrics(registry)
    metrics.missing.set(report.numbers_missing)
    for verdict in WRONG:
        metrics.wrong_rows.labels(verdict.value).set(report.verdicts[verdict])
    metrics.unreadable.set(report.unreadable)
    metrics.not_set_aside.set(report.not_set_aside)
    metrics.completed_at.set(completed_at_s)
    metrics.duration.set(duration_s)
    metrics.exit_code.set(code)
    return generate_latest(registry).decode()


def not_judged(before: str, code: int) -> str:
    """Text after an audit that could not: what the file said `before` is still what is known, and how old that is."""
    registry = CollectorRegistry()
    _exit_code(registry).set(code)
    kept = [f"{line}\n" for line in before.splitlines() if _KEPT.match(line)]
    return "".join(kept) + generate_latest(registry).decode()


def _exit_code(registry: CollectorRegistry) -> Gauge:
    told = "Exit code of the last audit: 0 nothing is wrong, 1 something is; any other: it could not judge."
    return Gauge(f"{PREFIX}_exit_code", told, registry=registry)
