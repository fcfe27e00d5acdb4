"""Who replayed what, in the system's log."""

import json
import syslog
from typing import Any

import pytest
from structlog.testing import capture_logs

from lastlogin_ops import audit_trail
from lastlogin_ops.quarantined import found_in
from lastlogin_ops.replaying import Outcome
from tests.support.aside import WRITE, aside_record


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes to the system's log. The logging of the tests themselves stays as it is."""
    lines: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda _, line: lines.append(line))
    monkeypatch.setattr("lastlogin_service.logs.configure", lambda *_: None)
    monkeypatch.delenv("SUDO_USER", raising=False)
    return lines


def test_line_in_the_systems_log(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    """It names the user of the system, who came by sudo, and counts; nobody's mailbox."""
    monkeypatch.setattr("os.getuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "alice")
    outcome = Outcome()
    outcome.judge(found_in(aside_record(WRITE), {}), lambda raw: raw)

    with capture_logs() as logged:
        audit_trail.tell_replayed("q", outcome)

    told: dict[str, Any] = json.loads(lines[0])
    assert told == {
        "event": "Replayed 0 of 1 quarantined writes as logins",
        "action": "quarantine_replayed",
        "by": "root (sudo: alice)",
        "topic": "q",
        "records": 1,
        "logins": 0,
        "unfit": 1,
    }
    assert [told | {"log_level": "info"}] == logged


def test_user_without_a_name(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    """In a container a number may be all there is."""
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)

    with capture_logs():
        audit_trail.tell_replayed("q", Outcome())

    assert json.loads(lines[0])["by"] == "4000000000"
