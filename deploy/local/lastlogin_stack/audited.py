"""`lastlogin audit` on a stack, once everything has come through, and what it finds."""

import json
import subprocess
import time
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

from lastlogin_service.counting import counted
from lastlogin_stack.errors import StackError
from lastlogin_stack.layout import LOOPBACK, Layout
from lastlogin_stack.server import PROBE_TIMEOUT_S
from lastlogin_stack.services import ConsumerService, ProducerService, lastlogin_command


_DEADLINE_S = 60.0
_POLL_S = 0.5
_WRONG = 1


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit has found; `wrong_rows` are verdict, user and service, `holes` producer, epoch and numbers."""

    code: int
    events: int
    pending: int
    rows: int
    wrong: int
    wrong_rows: list[tuple[str, str, str]]
    holes: list[str]

    def __str__(self) -> str:
        """Say it in a line."""
        named = [f"{verdict} {user} {service}" for verdict, user, service in self.wrong_rows]
        named += [f"missing {hole}" for hole in self.holes]
        what = f"WRONG: {', '.join(named)}" if self.wrong else "nothing is wrong"
        return f"{counted(self.events, 'event')}, {counted(self.rows, 'row')} right; {what}"


def audited(layout: Layout) -> Audited:
    """Run it until all events are due. Raises `StackError`."""
    deadline = time.monotonic() + _DEADLINE_S
    while (found := _audited(layout)).pending and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return found


def _audited(layout: Layout) -> Audited:
    command = [*lastlogin_command(layout), "audit", "--in-flight", "0", "--details", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, _WRONG) or not done.stdout:
        raise StackError(f"`lastlogin audit` failed: {done.stderr.strip()}")
    told: dict[str, Any] = json.loads(done.stdout)
    return Audited(
        done.returncode,
        told["events"]["records"],
        told["events"]["pending"],
        told["rows"]["right"],
        told["wrong"],
        sorted((each["verdict"], each["user"], each["service"]) for each in told["details"]),
        [
            f"{hole['producer']}, epoch {hole['epoch']}: {number}"
            for hole in told["sequences"]["holes"]
            for number in range(hole["first"], hole["last"] + 1)
        ],
    )


def settled(layout: Layout) -> None:
    """Wait until the producer has published all that it has, and the consumer has written it. Raises `StackError`."""
    for service, series in (
        (ProducerService(layout), "lastlogin_producer_spool_rows "),
        (ConsumerService(layout), "lastlogin_consumer_lag_records{"),
    ):
        deadline = time.monotonic() + _DEADLINE_S
        while (waiting := _sum(service.ports[0], series)) is None or waiting:
            if time.monotonic() > deadline:
                raise StackError(f"the {service.name} still has {waiting} messages after {_DEADLINE_S:g} s")
            # A damaged spool may end it; a service manager would start it again.
            service.start()
            time.sleep(_POLL_S)


def _sum(port: int, series: str) -> float | None:
    """Sum of the series that begin so, None while there are none."""
    try:
        with urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=PROBE_TIMEOUT_S) as answer:
            lines = str(answer.read(), "utf-8").splitlines()
    except OSError:
        return None
    found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(series)]
    return sum(found) if found else None
