"""Who changed what, in the system's log."""

import json
import syslog
from typing import Any

import pytest
from structlog.testing import capture_logs

from lastlogin_service import audit_trail


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes to the system's log. The logging of the tests themselves stays as it is."""
    lines: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda _, line: lines.append(line))
    monkeypatch.setattr("lastlogin_service.logs.configure", lambda *_: None)
    monkeypatch.delenv("SUDO_USER", raising=False)
    return lines


def test_line_in_the_systems_log(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    """It names the user of the system, who came by sudo, and what was done; the same is told on stderr."""
    monkeypatch.setattr("os.getuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "alice")

    with capture_logs() as logged:
        audit_trail.tell("lastlogin", "quarantine_replayed", "Replayed 3 of 4 writes", topic="q", records=4)

    told: dict[str, Any] = json.loads(lines[0])
    assert told == {
        "event": "Replayed 3 of 4 writes",
        "action": "quarantine_replayed",
        "by": "root (sudo: alice)",
        "topic": "q",
        "records": 4,
    }
    assert [told | {"log_level": "info"}] == logged


def test_user_without_a_name(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    """In a container a number may be all there is."""
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)

    with capture_logs():
        audit_trail.tell("lastlogin", "quarantine_replayed", "Replayed")

    assert json.loads(lines[0])["by"] == "4000000000"
