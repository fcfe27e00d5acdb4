"""The dict server: connections in, messages to the spool, replies out.

No task per connection and no timer per connection either: one sweep looks after whatever takes too long.
"""

import asyncio
import resource
import socket
import time
from collections.abc import Callable

import structlog

from lastlogin_producer.clock import now_us
from lastlogin_producer.events import EventRules
from lastlogin_producer.intake import Intake
from lastlogin_producer.listener import BACKLOG, Listener
from lastlogin_producer.serving import ServerLimits, ServerStats, Shared, Spool
from lastlogin_service.exits import TEMPFAIL, Exit


__all__ = ["DictServer", "ServerLimits", "ServerStats", "Spool"]

_log = structlog.get_logger(__name__)

# What else the process has open: spool, Kafka, logs, metrics.
_OTHER_FILES = 128

# Dovecot sends a login within a millisecond of connecting; what has not come by then is not on its way.
_GRACE_S = 1.0

# A socket file that is gone costs every login its record.
_LOOK_EVERY_S = 1.0


class DictServer:
    """Serves Dovecot's dict protocol: each committed write goes through `rules` into `spool`, then is answered.

    Call `start`, then `stop_accepting`, then `drain`; `watch` is a task for as long as it serves. Clients may ask for
    the dicts of `rules`; `allowed_uids` are the users who may be clients: all without it.
    `monotonic` gives seconds, `now_us` microseconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        listener: Listener,
        rules: EventRules,
        spool: Spool,
        limits: ServerLimits,
        *,
        allowed_uids: frozenset[int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now_us: Callable[[], int] = now_us,
    ) -> None:
        self._listener = listener
        self._limits = limits
        self._monotonic = monotonic
        self._shared = Shared(rules, spool, limits, allowed_uids=allowed_uids, monotonic=monotonic, now_us=now_us)
        self._intake: Intake | None = None
        self._misplaced = False
        self._sweeping: asyncio.TimerHandle | None = None

    def use(self, rules: EventRules) -> None:
        """Read writes by other rules from the next commit on; new connections may ask for the dicts of these."""
        self._shared.use(rules)

    @property
    def stats(self) -> ServerStats:
        """Counts since the start; live, not a copy."""
        return self._shared.stats

    @property
    def listening(self) -> bool:
        """Whether clients can connect."""
        return self._intake is not None

    @property
    def misplaced(self) -> bool:
        """Whether clients cannot find the socket any more, and somebody else must mend that."""
        return self._misplaced

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._shared.connections)

    async def start(self) -> None:
        """Listen and serve. Raises Exit as `Listener.open` does."""
        _allow_files(self._limits.connections + _OTHER_FILES)
        self._serve(self._listener.open())
        self._schedule_sweep()
        _log.info(f"Serving dict clients on {self._listener.path}", action="dict_listening")

    def sweep(self) -> None:
        """Answer and close what has waited too long. Happens by itself every `limits.sweep_s`."""
        now = self._monotonic()
        for connection in tuple(self._shared.connections):
            connection.check(now)

    async def watch(self) -> None:
        """Look after the socket file until cancelled: one that somebody has removed is made again, where it is ours.

        Raises Exit(75) when something else has taken its place, or it cannot be made: a new start may help.
        """
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if self._intake is None or self._listener.in_place:
                self._misplaced = False
            elif not self._misplaced:
                await self._misses_its_file(self._intake)

    async def _misses_its_file(self, intake: Intake) -> None:
        self._shared.stats.misplaced += 1
        path = self._listener.path
        if self._listener.outlives:
            self._misplaced = True
            _log.error(
                f"Somebody has removed or replaced {path}, no login arrives any more: "
                "systemctl restart lastlogin-producer.socket",
                action="socket_lost",
            )
            return
        _log.error(f"Somebody has removed or replaced {path}; making it again", action="socket_lost")
        try:
            listening = self._listener.open()
        except Exit as end:
            raise Exit(TEMPFAIL, end.message) from None
        self._serve(listening)
        await intake.stop(BACKLOG)

    async def stop_accepting(self) -> None:
        """Stop listening: remove the socket file and take on who has connected already.

        A socket that outlives us is left as it is, with those who wait in it, to the next start.
        """
        # First of all, so that `watch` does not miss the file.
        intake, self._intake = self._intake, None
        if intake is None:
            return
        self._listener.remove()
        # Without a file nobody joins the queue, which is no longer than this.
        await intake.stop(0 if self._listener.outlives else BACKLOG)

    def _serve(self, listening: socket.socket) -> None:
        self._intake = Intake(self._shared)
        self._intake.start(listening)

    async def drain(self, deadline_s: float) -> int:
        """Answer what was committed, then close all connections. Returns how many commits were left unanswered."""
        shared = self._shared
        ends_at = time.monotonic() + deadline_s
        shared.draining = True
        for connection in tuple(shared.connections):
            connection.end_if_quiet()
        await self._wait_until_empty(min(_GRACE_S, deadline_s))
        for connection in tuple(shared.connections):
            connection.end()
        await self._wait_until_empty(ends_at - time.monotonic())
        left = 0
        for connection in tuple(shared.connections):
            left += connection.unanswered
            connection.abort()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        _log.info(f"All dict clients are gone; {left} commits were left unanswered", action="dict_drained", left=left)
        return left

    async def _wait_until_empty(self, timeout_s: float) -> None:
        if not self._shared.connections:
            return
        try:
            await asyncio.wait_for(self._shared.empty.wait(), timeout_s)
        except TimeoutError:
            return

    def _schedule_sweep(self) -> None:
        self._sweeping = asyncio.get_running_loop().call_later(self._limits.sweep_s, self._sweep_again)

    def _sweep_again(self) -> None:
        self._schedule_sweep()
        self.sweep()


def _allow_files(wanted: int) -> None:
    """Raise the soft limit of open files; systemd's default is 1,024, and the spool and Kafka need some too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _log.warning(
            f"{allowed} open files are allowed, and {wanted} needed for all connections; raise LimitNOFILE",
            action="few_files",
        )
