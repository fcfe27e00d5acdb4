"""Pipelines in memory, as the unit tests work with them."""

from functools import partial
from random import Random

from prometheus_client import CollectorRegistry

from lastlogin_consumer.assignment import Assignment
from lastlogin_consumer.breaker import Breaker
from lastlogin_consumer.compact import WindowLimits
from lastlogin_consumer.decode import Decoder
from lastlogin_consumer.ends import SetAside
from lastlogin_consumer.lag import Lag
from lastlogin_consumer.metrics import ConsumerMetrics
from lastlogin_consumer.pipeline import Stages
from lastlogin_schemas.event import LoginEvent
from lastlogin_service.backoff import Backoff
from lastlogin_service.logs import Occasionally
from tests.support.logins import AT_US, event_record, record
from tests.support.memory import MemoryDeadLetters, MemoryPartition, MemoryTable, VirtualClock


class Bench:
    """Pipelines on a log, a table and a dead-letter topic in memory, with a clock of their own."""

    def __init__(
        self, limits: WindowLimits | None = None, ask_end_every_s: float = 5.0, ttl_s: int | None = None
    ) -> None:
        self.clock = VirtualClock()
        # By which what repeats in the log is held back.
        self.log_clock = VirtualClock()
        # Time of day in seconds; the records' append time unless a test says otherwise.
        self.time = AT_US / 1e6
        self.table = MemoryTable()
        self.dead_letters = MemoryDeadLetters()
        self.breaker = Breaker()
        self.registry = CollectorRegistry()
        self.metrics = ConsumerMetrics(self.registry)
        self.totals = self.metrics.totals
        self.partitions: list[MemoryPartition] = []
        self._limits = limits or WindowLimits(linger_s=0.2, max_records=1000, max_bytes=1_000_000)
        self._ask_end_every_s = ask_end_every_s
        self._ttl_s = ttl_s
        self.assignment = self.new_assignment()
        self.metrics.watch("events", self.assignment.progress, lambda: True, lambda: False)

    def new_assignment(self) -> Assignment:
        """Another consumer of the same group, with the same table."""
        return Assignment(self.stages(self.dead_letters), 10)

    def stages(self, set_aside: SetAside) -> Stages:
        """What its pipelines have in common."""
        backoff = partial(Backoff, 1e-6, 1e-6, Random(0))  # noqa: S311 - jitter
        decoder = Decoder({}, future_limit_s=300)
        return Stages(
            "events",
            decoder,
            self.table,
            set_aside,
            self._limits,
            backoff,
            self.metrics,
            self.clock,
            lambda: self.time,
            self._ask_end_every_s,
            self.breaker,
            look_at_breaker_every_s=0,
            ttl_s=self._ttl_s,
            occasionally=Occasionally(30, self.log_clock),
        )

    def partition(self, *records: LoginEvent | bytes | None) -> MemoryPartition:
        """Add a partition that holds `records`: events, or bytes that are none."""
        partition = MemoryPartition(self.clock, len(self.partitions))
        for item in records:
            partition.append(event_record(item) if isinstance(item, LoginEvent) else record(item))
        self.partitions.append(partition)
        return partition

    def lags(self) -> dict[int, Lag | None]:
        """How far behind each partition is; None before that is known."""
        return {number: progress.lag for number, progress in self.assignment.progress().items()}

    def start(self) -> None:
        """Assign all partitions."""
        self.assignment.assigned(self.partitions)
