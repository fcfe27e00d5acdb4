"""Who changed what with a command: a line on stderr, and one in the system's log."""

import json
import os
import pwd
import sys
import syslog

import structlog

from lastlogin_service import logs
from lastlogin_service.logs import LogSettings


def tell(program: str, action: str, sentence: str, **facts: str | int | list[str]) -> None:
    """Log what was changed, and by whom: `facts` count and name places, never whose logins.

    To be told also when the change was interrupted, with what was done by then.
    """
    facts = {"by": _who(), **facts}
    syslog.openlog(program, syslog.LOG_PID, syslog.LOG_AUTH)
    syslog.syslog(syslog.LOG_NOTICE, json.dumps({"event": sentence, "action": action, **facts}))
    logs.configure(LogSettings(), sys.stderr)
    structlog.get_logger(program).info(sentence, action=action, **facts)


def _who() -> str:
    """Name the user of the system by its number, which the environment cannot forge; `(sudo: ...)` is a hint only."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    by = os.environ.get("SUDO_USER")
    return f"{name} (sudo: {by[:64]})" if by else name
