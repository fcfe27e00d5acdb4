"""A client that sends dead letters and falls silent; what it sends to a real Kafka is in tests/contract."""

import asyncio
from random import Random
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from lastlogin_consumer import dead_letters
from lastlogin_consumer.dead_letters import DeadLetters
from lastlogin_consumer.decode import Poison
from lastlogin_service.backoff import Backoff
from tests.support.logins import record


class Kafka:
    """In place of aiokafka's producers: the first `silent` of them take records and never answer."""

    def __init__(self, silent: int) -> None:
        self.silent = silent
        self.away = 0
        self.clients: list[Client] = []

    def producer(self, **_options: object) -> "Client":
        """Make one more."""
        self.clients.append(Client(self, answers=len(self.clients) >= self.silent))
        return self.clients[-1]


class Client:
    """One producer."""

    def __init__(self, kafka: Kafka, *, answers: bool) -> None:
        self._kafka = kafka
        self._answers = answers
        self.sent: list[bytes] = []
        self.client = self._sender = self
        self.closed = False

    async def start(self) -> None:
        """Connect, unless Kafka is away."""
        if len(self._kafka.clients) > 1 and self._kafka.away:
            self._kafka.away -= 1
            raise KafkaConnectionError

    async def send(self, _topic: str, *, key: bytes, **_record: object) -> asyncio.Future[None]:
        """Take a record."""
        self.sent.append(key)
        answer = asyncio.get_running_loop().create_future()
        if self._answers:
            answer.set_result(None)
        return answer

    async def stop(self) -> None:
        """Flush, which a silent one never ends with."""
        await asyncio.sleep(0 if self._answers else 3600)

    async def close(self) -> None:
        """End its sender, or close its connections."""
        self.closed = True


def poison(key: bytes) -> Poison:
    """A record that cannot be used."""
    return Poison(record(b"?", key=key), "unknown_framing", "a test")


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    """The first client of two is silent; nothing is waited for long."""
    kafka = Kafka(silent=1)
    replaced: dict[str, Any] = {"AIOKafkaProducer": kafka.producer, "_STOP_DEADLINE_S": 0.01}
    for name, value in replaced.items():
        monkeypatch.setattr(dead_letters, name, value)
    return kafka


async def _started() -> DeadLetters:
    letters = DeadLetters({"request_timeout_ms": 5}, "dlq", lambda: Backoff(0.001, 0.002, Random(0)))  # noqa: S311
    await letters.start()
    return letters


async def test_a_silent_client_is_replaced(kafka: Kafka) -> None:
    """What it did not answer is sent by a new one, for all partitions that wait; it is closed, and nobody complains."""
    letters = await _started()
    async with asyncio.timeout(5):
        await asyncio.gather(letters.send([poison(b"a"), poison(b"b")]), letters.send([poison(b"c")]))

    silent, other = kafka.clients
    assert (silent.closed, other.closed) == (True, False)
    assert sorted(other.sent) == [b"a", b"b", b"c"]
    assert letters.problem is None


async def test_kafka_is_away_when_the_silent_client_is_to_be_replaced(kafka: Kafka) -> None:
    """It is tried again until a new one is there."""
    letters = await _started()
    kafka.away = 2
    async with asyncio.timeout(5):
        await letters.send([poison(b"a")])

    assert [client.sent for client in kafka.clients] == [[b"a"] * 3, [], [], [b"a"]]
    assert letters.problem is None
