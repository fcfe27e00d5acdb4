"""Who changed what with this command: a line on stderr, and one in the system's log."""

import json
import os
import pwd
import sys
import syslog
from typing import Any

import structlog

from lastlogin_ops.replaying import Outcome
from lastlogin_service import logs
from lastlogin_service.logs import LogSettings


def tell_replayed(topic: str, outcome: Outcome) -> None:
    """Log that writes were replayed from `topic`: by whom and how many, never whose."""
    sentence = f"Replayed {outcome.logins} of {outcome.records} quarantined writes as logins"
    facts: dict[str, Any] = {
        "by": _who(),
        "topic": topic,
        "records": outcome.records,
        "logins": outcome.logins,
        "unfit": outcome.unfit,
    }
    syslog.openlog("lastlogin", syslog.LOG_PID, syslog.LOG_AUTH)
    syslog.syslog(syslog.LOG_NOTICE, json.dumps({"event": sentence, "action": "quarantine_replayed", **facts}))
    logs.configure(LogSettings(), sys.stderr)
    structlog.get_logger("lastlogin").info(sentence, action="quarantine_replayed", **facts)


def _who() -> str:
    """Name the user of the system by its number, which the environment cannot forge; `(sudo: ...)` is a hint only."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    by = os.environ.get("SUDO_USER")
    return f"{name} (sudo: {by[:64]})" if by else name
