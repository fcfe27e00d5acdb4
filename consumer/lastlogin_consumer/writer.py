"""Logins into the table: in batches, as many at a time as pay off, repeated until all are acknowledged.

The driver answers on a thread of its own; its answers are handed to the event loop in bulk, one wake-up for all
that have come meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from itertools import count
from threading import Thread
from time import monotonic, time
from typing import Any, NamedTuple, TypeVar

import structlog
from cassandra import OperationTimedOut

from lastlogin_consumer.batch_request import StatementsForgotten
from lastlogin_consumer.batches import batches
from lastlogin_consumer.burst import Burst
from lastlogin_consumer.decode import Login
from lastlogin_consumer.metrics import ConsumerMetrics
from lastlogin_consumer.outcome import is_answer, outcome_of
from lastlogin_consumer.table import OpenTable, all_given_up, explain, is_wrong, log_columns
from lastlogin_schemas.columns import require_columns
from lastlogin_schemas.errors import TableNotReady
from lastlogin_schemas.table import TableMapping
from lastlogin_service.backoff import Backoff
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.logs import Occasionally


# Batches, over all partitions. More gained nothing, and each one is repeated when a node dies.
MAX_IN_FLIGHT = 32
# No node answers for so long, or one request has no answer: the driver may be stuck (its PYTHON-1044 and others),
# or hold addresses that are no longer right. A new session is made beside the old one, then takes its place.
SILENCE_S = 60.0
# Times that: a session that is not open by then is stuck, too. The driver needs less for a hundred contact points of
# which only the last one answers.
_OPENS_WITHIN = 10
# While the driver has given all nodes up.
_KNOCK_EVERY_S = 5.0
_LOG_INTERVAL_S = 30.0

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


class Refused(NamedTuple):
    """A login that Cassandra does not take; the reason in its words."""

    login: Login
    why: str


class Writer:
    """Writes logins through a session that it makes, watches and replaces. `open_table` blocks; it gets a thread."""

    def __init__(
        self,
        wanted: TableMapping,
        open_table: Callable[[TableMapping], OpenTable],
        backoff: Callable[[], Backoff],
        metrics: ConsumerMetrics,
        *,
        silence_s: float = SILENCE_S,
        clock: Callable[[], float] = monotonic,
        wall: Callable[[], float] = time,
    ) -> None:
        self._wanted = wanted
        self._open_table = open_table
        self._backoff = backoff
        self._metrics = metrics
        self._silence_s = silence_s
        self._clock = clock
        self._wall = wall
        self._occasionally = Occasionally(_LOG_INTERVAL_S)
        self._loop = asyncio.get_running_loop()
        self._table: OpenTable | None = None
        self._replacing: asyncio.Task[None] | None = None
        self._preparing = asyncio.Lock()
        self._bursts: deque[Burst] = deque()
        # By token; with the time at which it was sent.
        self._in_flight: dict[int, tuple[Burst, list[Login], float]] = {}
        self._tokens = count()
        # Filled by the driver's thread, emptied by the event loop.
        self._answers: deque[tuple[int, BaseException | None, float]] = deque()
        self._waking = False
        self._writing = 0
        self._answered_at = 0.0
        # Said, and not yet that it is over.
        self._told_failing = False
        # Calls of `write` that try again and have said why: one for each partition that waits.
        self._trying_again = 0
        self._why = "no node has answered yet"
        self._knocking: asyncio.Task[None] | None = None
        # Why no node lets us in, when a person must change something.
        self._locked_out: str | None = None

    @property
    def problem(self) -> str | None:
        """A sentence while the table is not open, or cannot be written to."""
        if self._table is None:
            return f"Not connected to Cassandra: {self._why}"
        waiting = self._trying_again
        return f"Cassandra cannot be written to: {self._why} (partitions that wait: {waiting})" if waiting else None

    @property
    def services(self) -> Collection[str]:
        """Services that have columns; none before `connect` has returned."""
        return self._table.formats if self._table is not None else ()

    async def connect(self) -> None:
        """Open the table; keep trying while Cassandra is away. Raises `Exit`: 78 when the table cannot be written."""
        backoff = self._backoff()
        while self._table is None:
            try:
                self._table = await self._opened(self._wanted)
            except Exit:
                raise
            except TableNotReady as error:
                raise Exit(CONFIG, str(error)) from None
            except Exception as error:  # noqa: BLE001 - the driver's errors have no common base
                self._report(error)
                await asyncio.sleep(backoff.next())
        log_columns(self._wanted, self._table.mapping)
        self._told_failing = False
        _log.info(
            "Connected to Cassandra",
            action="cassandra_connected",
            services=sorted(self.services),
            local_dc=self._table.local_dc,
        )

    async def write(self, logins: Sequence[Login]) -> list[Refused]:
        """Write each login under its own time; return when all are acknowledged, however long that takes.

        Returns those that Cassandra does not take. All other failures are repeated, whatever the error: a timeout
        says nothing about a row, and repeating changes nothing. May be cancelled.
        """
        if not self._writing:
            self._answered_at = self._clock()
        self._writing += 1
        refused: list[Refused] = []
        told = False
        try:
            backoff = self._backoff()
            left: Sequence[Login] = logins
            for attempt in count():
                table = self._open
                rows = batches(left, table.topology.ring(), table.key, with_service=table.mapping.service is not None)
                burst = Burst(rows, self._loop.create_future())
                await self._try(burst)
                refused += [Refused(login, explain(error)) for login, error in burst.refused]
                left = burst.failed
                if not left:
                    break
                # Forgotten once is what follows from any change of the table.
                if burst.error is not None and (attempt or not isinstance(burst.error, StatementsForgotten)):
                    self._trying_again += not told
                    told = True
                    self._report(burst.error, rows=len(left), partitions=self._trying_again)
                    if all_given_up(burst.error) and (self._knocking is None or self._knocking.done()):
                        self._knocking = asyncio.create_task(self._knock(table))
                if burst.table_in_doubt:
                    await self._prepare_again(table)
                await asyncio.sleep(backoff.next())
            self._tell_back(waiting=self._trying_again - told)
            return refused
        finally:
            self._writing -= 1
            self._trying_again -= told

    async def close(self, deadline_s: float) -> None:
        """Disconnect; rows in flight are abandoned."""
        for task in (self._replacing, self._knocking):
            if task is not None:
                task.cancel()
        if self._table is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline_s):
                    await _on_thread(self._table.close)

    async def _try(self, burst: Burst) -> None:
        self._bursts.append(burst)
        self._send()
        try:
            while not burst.finished.done():
                await asyncio.wait({burst.finished}, timeout=self._silence_s)
                self._look_for_silence()
        finally:
            burst.give_up()

    def _look_for_silence(self) -> None:
        """Have what is not answered sent again, also while others are acknowledged, by a new session."""
        now = self._clock()
        unanswered = [token for token, (_, _, sent_at) in self._in_flight.items() if now - sent_at >= self._silence_s]
        for token in unanswered:
            self._answer(token, OperationTimedOut())
        if unanswered or now - self._answered_at >= self._silence_s:
            self._replace_session()

    @property
    def _open(self) -> OpenTable:
        if self._table is None:
            raise RuntimeError("write() before connect()")
        return self._table

    def _send(self) -> None:
        """Send batches, the oldest burst's first, as long as there is room in flight."""
        table = self._open
        while self._bursts and len(self._in_flight) < MAX_IN_FLIGHT:
            burst = self._bursts[0]
            batch = burst.next_batch()
            if batch is None:
                self._bursts.popleft()
                continue
            token = next(self._tokens)
            self._in_flight[token] = burst, batch, self._clock()
            burst.in_flight += 1
            try:
                future = table.session.execute_async(table.batch(batch))
                future.add_callbacks(self._succeeded, self._failed, (token,), None, (token,), None)
            except Exception as error:  # noqa: BLE001 - as any other failure: try again
                self._answer(token, error)

    # These three run on the driver's thread.

    def _succeeded(self, _rows: Any, token: int) -> None:
        self._answer(token, None)

    def _failed(self, error: BaseException, token: int) -> None:
        self._answer(token, error)

    def _answer(self, token: int, error: BaseException | None) -> None:
        self._answers.append((token, error, self._clock()))
        if not self._waking:
            self._waking = True
            # The loop is closed when the process ends before the driver does.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._take_answers)

    def _take_answers(self) -> None:
        # First the flag, then the answers: one that comes in between wakes us once more, none is left behind.
        self._waking = False
        metrics, now = self._metrics, self._wall()
        late_after_s = metrics.late_after_s
        while self._answers:
            token, error, answered_at = self._answers.popleft()
            # A row that was not answered in time, or whose session was replaced, has been given up already.
            if (sent := self._in_flight.pop(token, None)) is not None:
                burst, batch, sent_at = sent
                metrics.totals.retries += burst.settle(batch, error)
                if burst.has_halves and burst not in self._bursts:
                    self._bursts.appendleft(burst)
                metrics.cassandra_write[outcome_of(error)].observe(answered_at - sent_at)
                if is_answer(error):
                    self._answered_at = answered_at
                if error is None:
                    for login in batch:
                        age_s = now - login.login_at_us / 1e6
                        metrics.end_to_end.observe(max(0.0, age_s))
                        if age_s > late_after_s:
                            metrics.totals.late += 1
        self._send()

    async def _prepare_again(self, table: OpenTable) -> None:
        """Look at the table, which somebody may have changed, and prepare anew."""
        async with self._preparing:
            # Another partition's rows, or a new session, may have been quicker.
            if self._table is table:
                try:
                    # A session that is stuck has no timer either.
                    async with asyncio.timeout(self._silence_s):
                        again = await _on_thread(table.prepared_again)
                except Exception as error:  # noqa: BLE001 - reported; whoever has rows to write tries again
                    self._report(error)
                    return
                if self._table is table:
                    self._table = again

    async def _knock(self, table: OpenTable) -> None:
        """Find out what keeps the driver from all nodes. When nothing does, a new session takes over.

        For the driver waits before it tries a node again, and after a refused login never does.
        """
        try:
            await _on_thread(table.knock)
        except Exception as error:  # noqa: BLE001 - reported; whoever has rows to write tries again
            # Else the driver has come back by itself meanwhile.
            if self._trying_again:
                self._locked_out = explain(error) if is_wrong(error) else None
                self._report(error)
        else:
            self._locked_out = None
            if self._table is table and self._trying_again:
                self._replace_session()
        await asyncio.sleep(_KNOCK_EVERY_S)

    def _replace_session(self) -> None:
        if self._replacing is None or self._replacing.done():
            self._answered_at = self._clock()
            self._replacing = asyncio.create_task(self._replace())

    async def _replace(self) -> None:
        """Make a new session beside the old one and let it take over; without success the old one goes on."""
        _log.warning("Cassandra does not answer; making a new session", action="session_replaced")
        # With the columns of the old one: others are for the next start, for windows go by those that there were.
        mapping = self._open.mapping
        try:
            table = await self._opened(mapping)
        except Exception as error:  # noqa: BLE001 - reported; the next silence tries again
            self._report(error)
            return
        try:
            require_columns(mapping, table.mapping)
        except TableNotReady as error:
            self._report(error)
            await _on_thread(table.close)
            return
        old, self._table = self._open, table
        for token in list(self._in_flight):
            self._answer(token, TableNotReady("the session was replaced"))
        # Not waited for: what is stuck may not end.
        Thread(target=old.close, daemon=True).start()

    async def _opened(self, wanted: TableMapping) -> OpenTable:
        """Open the table. Raises what that raises, and `OperationTimedOut`; what opens later is closed."""
        try:
            async with asyncio.timeout(_OPENS_WITHIN * self._silence_s):
                return await _on_thread(lambda: self._open_table(wanted), too_late=lambda table: table.close())
        except TimeoutError:
            raise OperationTimedOut from None

    def _tell_back(self, waiting: int) -> None:
        """Rows of one partition are written; so many others still wait."""
        if waiting:
            return
        self._locked_out = None
        if self._told_failing:
            self._told_failing = False
            _log.info("Cassandra acknowledges all rows again", action="cassandra_back")

    def _report(self, error: BaseException, **context: object) -> None:
        self._why = self._locked_out if self._locked_out is not None and all_given_up(error) else explain(error)
        if (suppressed := self._occasionally.suppressed((type(error).__name__, is_wrong(error)))) is not None:
            self._told_failing = True
            _log.error(
                "Cassandra cannot be written to; waiting and trying again",
                action="cassandra_failing",
                why=self._why,
                suppressed=suppressed,
                **context,
            )


def _on_thread(work: Callable[[], _T], too_late: Callable[[_T], None] | None = None) -> Awaitable[_T]:
    """Run blocking `work` on a thread that does not keep the process from ending, as an executor's would.

    `too_late` takes, on a thread as well, a result that nobody waits for any more.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if future.done():
            if too_late is not None and result is not None:
                Thread(target=too_late, args=(result,), daemon=True).start()
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type] # without an error there is a result

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - it belongs to whoever awaits
            error = raised
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    Thread(target=run, daemon=True).start()
    return future
