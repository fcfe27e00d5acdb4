"""`make outage-demo`: Cassandra, then Kafka is stopped for a minute under logins: what logins, alerts and backlog do.

It has servers of its own, beside those of `make demo`, and removes them with all their data. What stays is a picture.
"""

import os
import sys
import time
from collections.abc import Callable, Collection
from itertools import takewhile
from pathlib import Path
from statistics import median

from lastlogin_stack.audited import audited, settled
from lastlogin_stack.cassandra import Cassandra
from lastlogin_stack.commands import run, start_pipeline
from lastlogin_stack.errors import StackError
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import Layout
from lastlogin_stack.logins import Logins
from lastlogin_stack.own_servers import UNDONE, own_layout, own_servers
from lastlogin_stack.picture import draw
from lastlogin_stack.prometheus import TIMES_FASTER, Prometheus
from lastlogin_stack.recording import Alert, Points, Recording, Stretch, per_second, recorded
from lastlogin_stack.server import Server


OUT_VARIABLE = "OUT"
_FAILED = 1
_PORT = 16000
# Enough that the logins of a minute are of nearly as many users: each of these is a row.
_NAMES = [f"outage{number}" for number in range(1, 1201)]
_CALM_S = 20.0
_DOWN_S = 60.0
_DEADLINE_S = 120.0
_POLL_S = 0.25
# Nothing waits for longer than that while all is well.
_BEHIND_S = 2.0

# What must get somebody up while it is away.
_PAGES = {
    Cassandra.name: {"LastLoginNothingWritten", "LastLoginSLOFastBurn"},
    Kafka.name: {"LastLoginKafkaAway", "LastLoginSLOFastBurn"},
}


def main() -> None:
    """Run it and exit: 0 when all came out as it must, 1 when not, else as `lastlogin_stack` does."""
    run(_demo, lambda: own_layout(os.environ, "outage", _PORT), undone=UNDONE)


def picture_file(layout: Layout, chosen: str) -> Path:
    """Return where the picture goes: beside the directory of the servers, which is removed, unless told otherwise."""
    return Path(chosen).absolute() if chosen else layout.directory.with_name(layout.directory.name + ".png")


def _demo(layout: Layout) -> int:
    begun = time.monotonic()
    picture = picture_file(layout, os.environ.get(OUT_VARIABLE, ""))
    with own_servers(layout, _NAMES):
        # Not before: that nothing was there yet would be an outage, too.
        start_pipeline(layout, [Prometheus.name])
        with Logins(layout, _NAMES) as logins:
            watch = _Watch(layout, logins)
            print(
                "\nUsers log in by IMAP and POP3 all the time. The alerts are those of deploy/prometheus, "
                f"{TIMES_FASTER} times as fast:\nwhat waits there for five minutes waits here for "
                f"{300 / TIMES_FASTER:g} s.\n"
            )
            watch.begin()
            watch.wait(_CALM_S)
            passed = []
            for server in (Cassandra(layout), Kafka(layout)):
                passed.append(watch.outage(server))
                watch.wait(_CALM_S)
        seen = watch.recorded()
        passed.append(_nothing_is_lost(layout, logins))
        draw(seen, watch.outages, per_second([at for at, _ in logins.took], watch.began, seen.seconds), picture)
        verdict = "all came out as it must" if all(passed) else "NOT ALL CAME OUT AS IT MUST"
        print(f"picture {picture}")
        print(f"\n{time.monotonic() - begun:.0f} s with the start: {verdict}\n", flush=True)
    return 0 if all(passed) else _FAILED


class _Watch:
    """Stops servers while users log in, and tells with the time since it began what Prometheus says of it."""

    def __init__(self, layout: Layout, logins: Logins) -> None:
        self._prometheus = Prometheus(layout)
        self._logins = logins
        self._firing: set[str] = set()
        self.began = time.time()
        self.outages: list[Stretch] = []

    def begin(self) -> None:
        """Wait until Prometheus no longer finds that at first there was nothing, and begin then."""
        deadline = time.monotonic() + _DEADLINE_S
        time.sleep(_CALM_S / 2)
        while self._prometheus.alerts(severity="page") and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        self.began = time.time()

    def recorded(self) -> Recording:
        """Return what Prometheus has seen since it began."""
        return recorded(self._prometheus, self.began, time.time())

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        end = self._now() + seconds
        self._until(lambda: self._now() >= end)

    def outage(self, server: Server) -> bool:
        """Stop it for a minute; return whether all was as it must be."""
        begun, failed = self._now(), self._logins.failed
        self._say(f"{server.name} is stopped")
        server.stop()
        self._until(lambda: self._now() >= begun + _DOWN_S)
        server.start()
        self._until(server.answers)
        away = Stretch(server.name, begun, self._now())
        self._say(f"{server.name} is back")
        self._until(lambda: not self._pages() and not self._behind())
        self.outages.append(away)
        return self._judge(away, self._logins.failed - failed)

    def _judge(self, away: Stretch, failed: int) -> bool:
        seen = self.recorded()
        took = [seconds for at, seconds in self._logins.took if away.began <= at - self.began <= away.ended]
        print(
            f"\n        logins  {len(took)} got in meanwhile, {failed} did not; "
            f"half of them took less than {1000 * median(took):.0f} ms, the slowest {1000 * max(took):.0f} ms"
        )
        fired: dict[str, tuple[Alert, Alert]] = {}
        for each in seen.alerts:
            if each.state == "firing" and each.began >= away.began:
                first, _ = fired.setdefault(each.what, (each, each))
                fired[each.what] = first, each
        for first, last in fired.values():
            ended = f"had ended {max(0.0, last.ended - away.ended):.0f} s after {away.what} was back"
            print(
                f"        alert   {first.what} ({first.severity}) fired after {first.began - away.began:.0f} s and "
                + ("fires on" if first.what in self._firing else ended)
            )
        whole = Stretch("", away.began, seen.seconds)
        rows = max(seen.most("lag_records", whole), seen.most("spool_rows", whole))
        oldest = max(seen.most("lag_seconds", whole), seen.most("spool_seconds", whole))
        caught_up = max(wrote_all(seen.series[name], away.ended) for name in ("lag_seconds", "spool_seconds"))
        print(
            f"        backlog {rows:.0f} logins at most, the oldest {oldest:.0f} s old; "
            f"written {caught_up:.0f} s after {away.what} was back"
        )
        found = problems(away.what, fired.keys(), still=self._pages(), behind=self._behind(), failed=failed)
        for problem in found:
            print(f"        problem {problem}")
        print(f"        {'FAIL' if found else 'PASS'}\n", flush=True)
        return not found

    def _until(self, condition: Callable[[], bool]) -> None:
        """Tell of alerts until it holds, for two minutes at most."""
        deadline = time.monotonic() + _DEADLINE_S
        while True:
            firing = self._prometheus.alerts(alertstate="firing")
            for name in sorted(firing - self._firing):
                self._say(f"{name} fires")
            for name in sorted(self._firing - firing):
                self._say(f"{name} has ended")
            self._firing = firing
            if condition() or time.monotonic() > deadline:
                return
            time.sleep(_POLL_S)

    def _pages(self) -> set[str]:
        return self._prometheus.alerts(alertstate="firing", severity="page")

    def _behind(self) -> bool:
        ages = ("lastlogin_consumer_lag_seconds", "lastlogin_producer_spool_oldest_age_seconds")
        query = " or ".join(f"max({age}) > {_BEHIND_S} or absent({age})" for age in ages)
        return bool(self._prometheus.ask("query", query=query)["result"])

    def _now(self) -> float:
        return time.time() - self.began

    def _say(self, what: str) -> None:
        print(f"{self._now():5.0f} s {what}", flush=True)


def wrote_all(ages: Points, back: float) -> float:
    """Return how long after a server was back the oldest that waited was no longer old; later blips do not count."""
    after = [(at, age) for at, age in ages if at >= back]
    # It may take a moment until an age is known again.
    waiting = takewhile(lambda each: each[1] > _BEHIND_S or each[0] < back + _BEHIND_S, after)
    late = [at for at, age in waiting if age > _BEHIND_S]
    return max(late, default=back) - back


def problems(what: str, fired: Collection[str], *, still: Collection[str], behind: bool, failed: int) -> list[str]:
    """Return what did not come out as it must, once a server is back and all is over, or two minutes have passed."""
    found = [f"{each} did not fire" for each in sorted(_PAGES[what] - set(fired))]
    found += [f"{each} still fires after {_DEADLINE_S:g} s" for each in sorted(still)]
    found += [f"what waited is not all written after {_DEADLINE_S:g} s"] if behind else []
    found += [f"{failed} users did not get in"] if failed else []
    return found


def _nothing_is_lost(layout: Layout, logins: Logins) -> bool:
    settled(layout)
    found = audited(layout)
    print(f"        in all  {logins.count} logins got in, {logins.failed} did not")
    print(f"        audit   {found}")
    passed = found.code == 0 and found.events == logins.count and not logins.failed
    print(f"        {'PASS' if passed else 'FAIL'}\n", flush=True)
    return passed


if __name__ == "__main__":
    try:
        main()
    except StackError as error:
        print(error, file=sys.stderr)
        sys.exit(error.code)
