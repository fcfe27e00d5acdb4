"""The ring of three Cassandra nodes, as tests break and mend it; what each node has, and what it should have."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from threading import Event, Thread
from uuid import uuid4

from cassandra import ConsistencyLevel, OperationTimedOut, ReadTimeout, Unavailable
from cassandra.cluster import EXEC_PROFILE_DEFAULT, ExecutionProfile, NoHostAvailable
from cassandra.cluster import Cluster as Driver
from cassandra.policies import RoundRobinPolicy, WhiteListRoundRobinPolicy

from lastlogin_schemas.address import column_bytes
from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.order import newest_wins
from lastlogin_schemas.table import TableMapping, select_cql
from lastlogin_stack.cassandra import RING, Cassandra, ring_address
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import Cell, cells
from tests.support.cluster import Members
from tests.support.logins import login, message
from tests.support.process import wait_until
from tests.support.topics import Topics


# By user and service.
Rows = dict[tuple[str, str], Cell]

USERS = 300
_ADDRESSES = (None, "192.0.2.9", "192.0.2.10", "198.51.100.7", "203.0.113.255", "2001:db8::9", "2001:db8::a:1")
_TICK_S = 0.1
_PER_TICK = 10
# Nodes that have just started do not all know yet that the others are up.
_AWAY = (Unavailable, ReadTimeout, OperationTimedOut, NoHostAvailable)


class Ring(Members):
    """The three nodes; `settings` are a consumer's."""

    def __init__(self, layout: Layout, make: type[Cassandra] = Cassandra) -> None:
        super().__init__({node: make(layout, node=node) for node in RING})
        self._port = layout.ring_port
        self.settings = {
            "CASSANDRA__CONTACT_POINTS": ",".join(map(ring_address, RING)),
            "CASSANDRA__PORT": str(layout.ring_port),
        }

    def copy(self, node: int, prefix: str) -> Rows:
        """What this node alone has of users whose names begin so."""
        return self._read(WhiteListRoundRobinPolicy([ring_address(node)]), ConsistencyLevel.ONE, prefix)

    def copies(self, prefix: str) -> list[Rows]:
        """What each node has."""
        return [self.copy(node, prefix) for node in RING]

    def repair(self, prefix: str, deadline_s: float = 60.0) -> Rows:
        """What all nodes together have; reading it from all of them writes to each what it lacks."""
        deadline = time.monotonic() + deadline_s
        while True:
            try:
                return self._read(RoundRobinPolicy(), ConsistencyLevel.ALL, prefix)
            except _AWAY:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def _read(self, policy: RoundRobinPolicy | WhiteListRoundRobinPolicy, consistency: int, prefix: str) -> Rows:
        profile = ExecutionProfile(policy, consistency_level=consistency, request_timeout=20)
        nodes = [ring_address(node) for node in RING]
        driver = Driver(nodes, port=self._port, execution_profiles={EXEC_PROFILE_DEFAULT: profile}, protocol_version=5)
        mapping = TableMapping()
        try:
            found = driver.connect().execute(select_cql(mapping).partition(" WHERE ")[0])
            return {
                (row[0], service): cell
                for row in found
                if row[0].startswith(prefix)
                for service, cell in cells(mapping, row).items()
            }
        finally:
            driver.shutdown()


class Logins:
    """Logins of one test in a topic: few users, many logins, out of order; and the rows that must come of them."""

    def __init__(self, topics: Topics) -> None:
        self.prefix = f"ring-{uuid4().hex[:8]}"
        self._topics = topics
        self._random = Random(1)  # noqa: S311 - whose logins, and from where
        self._services = tuple(TableMapping().services)
        # Acknowledged by Kafka.
        self.published: list[LoginEvent] = []
        self._sent: list[LoginEvent] = []

    def publish(self, count: int) -> None:
        """Publish so many."""
        now, choose = time.time_ns() // 1000, self._random
        for _ in range(count):
            self._publish(
                login(
                    f"{self.prefix}-{choose.randrange(USERS)}",
                    now - choose.randrange(2_000_000),
                    service=choose.choice(self._services),
                    ip=choose.choice(_ADDRESSES),
                )
            )
        self._flush()

    def publish_ties(self, users: int, partitions: int) -> None:
        """Publish logins of one microsecond with different addresses, four of each user, in whichever partitions."""
        now = time.time_ns() // 1000
        for user in range(users):
            for ip in self._random.sample(_ADDRESSES, 4):
                self._publish(login(f"{self.prefix}-{user}", now, ip=ip), self._random.randrange(partitions))
        self._flush()

    def _publish(self, event: LoginEvent, partition: int | None = None) -> None:
        value, headers = message(event)
        self._topics.publish_raw(value, headers, key=event.user.encode(), partition=partition)
        self._sent.append(event)

    def _flush(self) -> None:
        self._topics.flush()
        self.published += self._sent
        self._sent.clear()

    @contextmanager
    def coming_in(self) -> Iterator[Event]:
        """About 100 logins a second while the block runs, or until the event is set."""
        ended = Event()

        def come_in() -> None:
            while not ended.wait(_TICK_S):
                self.publish(_PER_TICK)

        thread = Thread(target=come_in)
        thread.start()
        try:
            yield ended
        finally:
            ended.set()
            thread.join()

    def wait_for(self, more: int, deadline_s: float = 60.0) -> None:
        """Wait until so many more have come in."""
        end = len(self.published) + more
        wait_until(lambda: len(self.published) >= end, deadline_s)

    def rows(self) -> Rows:
        """What the table must show: of each user and service the newest login, whole."""
        newest: dict[tuple[str, str], LoginEvent] = {}
        for event in self.published:
            rival = newest.get((event.user, event.service))
            if rival is None or _rank(event) > _rank(rival):
                newest[event.user, event.service] = event
        return {key: _cell(event) for key, event in newest.items()}


def _rank(event: LoginEvent) -> tuple[int, bytes]:
    return newest_wins(event.login_at_us, column_bytes(event.remote_ip))


def _cell(event: LoginEvent) -> Cell:
    at = datetime(1970, 1, 1) + timedelta(milliseconds=event.login_at_us // 1000)  # noqa: DTZ001 - as the driver has it
    return Cell(at, event.remote_ip, event.login_at_us, event.login_at_us)
