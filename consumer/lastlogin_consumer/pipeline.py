"""From records to rows: one pipeline per assigned partition, each independent of the others.

    fetch -> decode -> window (newest per user and service) -> rows written, poison set aside -> watermark

A partition whose rows cannot be written, or whose poison cannot be set aside, waits with all it has; the others
go on. A key never changes its partition, so windows per partition compact as well as one for all would.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, time
from typing import NoReturn

import structlog

from lastlogin_consumer.breaker import Breaker
from lastlogin_consumer.compact import Window, WindowLimits
from lastlogin_consumer.decode import APPEND_TIME, Decoder, Login, Poison, Record
from lastlogin_consumer.ends import Partition, SetAside, Table
from lastlogin_consumer.errors import FetchFailed, OffsetLost, Unreadable
from lastlogin_consumer.lag import Backlog, Lag, Progress
from lastlogin_consumer.metrics import ConsumerMetrics
from lastlogin_consumer.offsets import missing, next_offset
from lastlogin_consumer.second_reading import SecondReading
from lastlogin_service.backoff import Backoff
from lastlogin_service.logs import Occasionally
from lastlogin_service.tasks import cancel


# The event loop belongs to one pipeline while it decodes: some 15 us a record.
_FETCH_LIMIT = 500
# How long to wait for records when nothing else is due; a stop does not wait for it.
_IDLE_WAIT_S = 1.0
# Where the partition ends is asked for beside the fetches: those stop when Cassandra is away. Also the timeout.
_ASK_END_EVERY_S = 5.0
# A broker that cannot find its way in a damaged file gives nothing, and aiokafka (0.14) tells no one.
_SILENCE_S = 20.0
# How late a pipeline may notice that the breaker has closed.
_BREAKER_LOOK_S = 0.5
_LOG_INTERVAL_S = 30.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Stages:
    """What the pipelines of one consumer have in common.

    `topic` is for people. `clock` never goes back; `wall` is the time of day in seconds, as Kafka's append times are.
    Logins older than `ttl_s` are not written.
    """

    topic: str
    decoder: Decoder
    table: Table
    set_aside: SetAside
    limits: WindowLimits
    backoff: Callable[[], Backoff]
    metrics: ConsumerMetrics
    clock: Callable[[], float] = monotonic
    wall: Callable[[], float] = time
    ask_end_every_s: float = _ASK_END_EVERY_S
    breaker: Breaker = field(default_factory=Breaker)
    look_at_breaker_every_s: float = _BREAKER_LOOK_S
    occasionally: Occasionally = field(default_factory=partial(Occasionally, _LOG_INTERVAL_S))
    ttl_s: int | None = None


class PartitionPipeline:
    """The pipeline of one partition."""

    def __init__(self, partition: Partition, stages: Stages, limits: WindowLimits) -> None:
        self._partition = partition
        self._stages = stages
        self._limits = limits
        self._backoff = stages.backoff()
        self._window = self._new_window()
        self._backlog = Backlog()
        # Whether Kafka has not answered when it was last asked for the end, and since when it has.
        self.unanswered = False
        self._answers_since = stages.clock()
        self._position = 0
        # Where the window begins: all before it is done.
        self._watermark = 0
        self._again = SecondReading()
        # When it last did some of its work, had none, or said why it could not.
        self._moved_at = stages.clock()
        self._fetch_limit = _FETCH_LIMIT
        # Whether it cannot be read on.
        self._held = False
        self._stopping = self._writing = False
        # The wait that `stop_intake` ends; None while the pipeline does something else.
        self._wait: asyncio.Timeout | None = None

    @property
    def waiting(self) -> int:
        """Records in its window."""
        return self._window.waiting

    @property
    def number(self) -> int:
        """Number of its partition."""
        return self._partition.number

    @property
    def standstill_s(self) -> float:
        """Seconds for which it had something to fetch, as far as is known, and got nothing; 0 while it writes."""
        return 0.0 if self._caught_up or self._writing else self._stages.clock() - self._moved_at

    @property
    def _caught_up(self) -> bool:
        lag = self.lag()
        return lag is not None and not lag.records and not self.unanswered

    def lag(self) -> Lag | None:
        """How far behind it is; None before that is known."""
        return self._backlog.lag(self._stages.wall())

    def progress(self) -> Progress:
        """What is told of it."""
        return Progress(self.lag(), self._backlog.watermark, self._held)

    def stop_intake(self) -> None:
        """Fetch no more; `run` writes what waits in the window and returns."""
        self._stopping = True
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(0)

    async def run(self) -> None:
        """Work until `stop_intake`. What it raises is a defect; then nothing unwritten has been passed."""
        asking = asyncio.create_task(self._ask_end())
        try:
            await self._work(asking)
        finally:
            await cancel([asking])

    async def _work(self, asking: asyncio.Task[NoReturn]) -> None:
        await self._start()
        while not self._stopping:
            if asking.done():
                asking.result()
            if self._due_in() != 0:
                await self._fetch()
            if self._due_in() == 0:
                await self._write()
        if self._window.due_in(0) is not None:
            await self._write()

    def _due_in(self) -> float | None:
        """Seconds until the window must be written, None while it is empty."""
        due_in = self._window.due_in(self._stages.clock())
        if self._again.until is not None:
            return 0.0 if self._position >= self._again.until else due_in
        return due_in

    async def _start(self) -> None:
        while not self._stopping:
            try:
                async with asyncio.timeout(None) as self._wait:
                    self._position = self._watermark = await self._partition.start()
                self._backlog.begin(self._position)
                return
            except FetchFailed as failure:
                await self._hold(failure)
            except TimeoutError:
                pass
            finally:
                self._wait = None

    async def _ask_end(self) -> NoReturn:
        while True:
            asked_at = self._stages.wall()
            try:
                async with asyncio.timeout(_ASK_END_EVERY_S):
                    self._backlog.ends_at(await self._partition.end(), asked_at)
                if self.unanswered:
                    self.unanswered, self._answers_since = False, self._stages.clock()
                withheld_s = min(self.standstill_s, self._stages.clock() - self._answers_since)
                if self._caught_up:
                    self._held = False
                    self._moved()
                elif self.lag() is not None and withheld_s > self._limits.linger_s + _SILENCE_S:
                    # Or our client is stuck: that the watchdog finds out, for which this is no move.
                    self._say_held(f"Kafka answers and gives nothing at offset {self._position}; {self._way_out}")
            except (FetchFailed, TimeoutError):
                self.unanswered = True
            await asyncio.sleep(self._stages.ask_end_every_s)

    async def _fetch(self) -> None:
        due_in = self._due_in()
        wait_s = _IDLE_WAIT_S if due_in is None else due_in
        limit = min(self._fetch_limit, self._window.room)
        if self._again.until is not None:
            limit = min(limit, self._again.until - self._position)
        try:
            async with asyncio.timeout(None) as self._wait:
                records = await self._partition.fetch(self._position, limit, wait_s)
        except TimeoutError:
            return
        except OffsetLost as lost:
            self._skip_lost(lost)
            return
        except Unreadable as failure:
            # aiokafka drops the good records before a bad one with it: get at them with fewer at a time.
            if self._fetch_limit == 1:
                await self._hold(failure)
            self._fetch_limit = max(1, self._fetch_limit // 2)
            return
        except FetchFailed as failure:
            await self._hold(failure)
            return
        finally:
            self._wait = None
        self._backoff.reset()
        if records:
            self._fetch_limit = min(self._fetch_limit * 2, _FETCH_LIMIT)
            self._take(records)
            # What aiokafka has prefetched comes without waiting: let the other pipelines and the driver have a turn.
            await asyncio.sleep(0)

    def _take(self, records: Sequence[Record]) -> None:
        if holes := missing(self._position, records):
            self._say(
                "offsets_missing",
                "Offsets without records: they were deleted, or never were events",
                first=self._position,
                last=records[-1].offset,
                missing=holes,
            )
        if records[0].timestamp_type != APPEND_TIME:
            self._say(
                "not_append_time",
                "The topic does not carry Kafka's append time, so that a wrong clock is not noticed; "
                "see `lastlogin topics plan`",
            )
        now = self._stages.clock()
        items = map(self._stages.decoder.decode, records)
        if self._again.until is not None:
            items = map(self._again.judge, items, records)
        for item in items:
            self._window.add(item, now)
        self._position = next_offset(records)
        self._backlog.took(self._position, records[0].timestamp, records[-1].timestamp, self._stages.wall())
        self._stages.metrics.totals.fetched += len(records)
        self._held = False
        self._moved()

    async def _write(self) -> None:
        self._writing = True
        await self._write_window()
        self._writing = False

    async def _write_window(self) -> None:
        window, totals = self._window, self._stages.metrics.totals
        newest, poison = window.logins, window.poison
        logins = self._unexpired(newest)
        refusals = await self._stages.table.write(logins) if logins else ()
        if self._again.needed_for(refusals, self._position):
            self._go_back()
            return
        if not self._again.last_chance:
            self._stages.breaker.count(window.records, len(poison), self._stages.clock())
        if poison:
            rested = await self._wait_for_breaker()
            # At a stop it may still be open: what cannot be set aside now is for whoever has the partition next.
            if self._breaker_rest_s or (rested and self._again.once_more()):
                self._go_back()
                return
            await self._stages.set_aside.send(poison)
            totals.set_aside.update(each.reason for each in poison)
            for each in poison:
                self._say_set_aside(each)
        if logins:
            totals.written += len(logins) - len(refusals)
            self._stages.metrics.batch_rows.observe(len(logins))
        totals.merged += window.merged + len(refusals)
        totals.unmapped += window.unmapped
        totals.expired += len(newest) - len(logins)
        totals.unchecked += window.unchecked
        if window.unmapped_login is not None:
            self._say(
                "unmapped",
                "Logins of a service without columns in the table were skipped",
                service=window.unmapped_login.service,
                offset=window.unmapped_login.offset,
            )
        self._done()
        self._window = self._new_window()

    def _go_back(self) -> None:
        """Begin anew where the window began; when we stop, somebody else does."""
        self._position = self._watermark
        self._window = self._new_window()
        self._moved()

    def _unexpired(self, logins: list[Login]) -> list[Login]:
        """Leave those out that Cassandra would forget at once."""
        ttl_s = self._stages.ttl_s
        if ttl_s is None:
            return logins
        oldest_us = (self._stages.wall() - ttl_s) * 1_000_000
        return [login for login in logins if login.login_at_us > oldest_us]

    async def _wait_for_breaker(self) -> bool:
        """Return when records may be set aside, or nothing more is to be done; whether there was a rest."""
        rested = False
        while (rest_s := self._breaker_rest_s) and not self._stopping:
            self._say(
                "breaker_open",
                "Most records of the last minute are bad; none is set aside for a while. What was deployed?",
            )
            await asyncio.sleep(min(rest_s, self._stages.look_at_breaker_every_s))
            rested = True
        return rested

    @property
    def _breaker_rest_s(self) -> float:
        return self._stages.breaker.open_for(self._stages.clock())

    def _done(self) -> None:
        self._watermark = self._position
        if self._again.until is not None and self._position >= self._again.until:
            self._again = SecondReading()
        self._partition.done(self._position)
        self._backlog.done(self._position)
        self._moved()

    def _moved(self) -> None:
        self._moved_at = self._stages.clock()

    def _new_window(self) -> Window:
        return Window(self._limits, self._stages.table.services)

    def _skip_lost(self, lost: OffsetLost) -> None:
        if lost.resume_at > lost.offset:
            sentence = "Records were deleted before we read them: logins that are not written yet are lost"
        else:
            sentence = "The partition ends before our offset: it was truncated or made anew; reading all of it"
        count = max(0, lost.resume_at - lost.offset)
        _log.error(
            sentence,
            action="offsets_lost",
            partition=self._partition.number,
            first=lost.offset,
            resume_at=lost.resume_at,
            lost=count,
        )
        self._stages.metrics.totals.lost += count
        self._position = lost.resume_at
        # What was to be read again may not be there any more.
        self._again = SecondReading()
        if self._window.due_in(0) is None:
            # Nothing waits: what is lost is no longer behind us, also when no record follows.
            self._done()

    async def _hold(self, failure: FetchFailed) -> None:
        """Wait before the next attempt, but not beyond the time at which the window is due."""
        self._moved()
        self._say_held(f"{failure}; {self._way_out}" if isinstance(failure, Unreadable) else str(failure))
        due_in = self._window.due_in(self._stages.clock())
        pause_s = self._backoff.next()
        try:
            async with asyncio.timeout(pause_s if due_in is None else min(pause_s, due_in)) as self._wait:
                await asyncio.Event().wait()
        except TimeoutError:
            pass
        finally:
            self._wait = None

    @property
    def _way_out(self) -> str:
        where = f"--topic {self._stages.topic} --partition {self._partition.number} --to {self._position + 1}"
        return f"what would be lost by going on behind it tells `lastlogin-consumer skip {where}`"

    def _say_held(self, why: str) -> None:
        self._held = True
        self._say("partition_held", "Cannot read on; trying again", position=self._position, why=why)

    def _say_set_aside(self, poison: Poison) -> None:
        stages = self._stages
        # Once for each reason, not for each partition: all have those of one bad sender.
        if (suppressed := stages.occasionally.suppressed(("dead_lettered", poison.reason))) is not None:
            _log.warning(
                stages.set_aside.sentence,
                action="dead_lettered",
                partition=self._partition.number,
                suppressed=suppressed,
                reason=poison.reason,
                offset=poison.record.offset,
                # To find it costs as much as to decode a record.
                event_id=stages.decoder.event_id(poison.record),
            )

    def _say(self, action: str, sentence: str, **context: object) -> None:
        partition = self._partition.number
        if (suppressed := self._stages.occasionally.suppressed((action, partition))) is not None:
            _log.warning(sentence, action=action, partition=partition, suppressed=suppressed, **context)
