"""What /livez and /readyz are told by the parts of the consumer."""

import asyncio
from random import Random

import pytest
from cassandra import OperationTimedOut
from prometheus_client import CollectorRegistry

from lastlogin_consumer.metrics import ConsumerMetrics
from lastlogin_consumer.service import Consumer
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_consumer.source import Source
from lastlogin_consumer.table import OpenTable
from lastlogin_consumer.writer import Writer
from lastlogin_schemas.errors import TableNotReady
from lastlogin_schemas.table import TableMapping
from lastlogin_service.backoff import Backoff
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.notify import Notifier
from lastlogin_service.settings import load
from tests.support.bench import Bench
from tests.support.logins import login
from tests.support.memory import VirtualClock, until


def _backoff() -> Backoff:
    return Backoff(1e-6, 1e-6, Random(0))  # noqa: S311 - jitter


def _consumer() -> Consumer:
    variables = {
        "LASTLOGIN_CONSUMER_KAFKA__BOOTSTRAP_SERVERS": "kafka1.example.org:9092",
        "LASTLOGIN_CONSUMER_CASSANDRA__CONTACT_POINTS": "cassandra1.example.org",
    }
    return Consumer(load(ConsumerSettings, None, variables), Notifier({}))


async def test_a_consumer_that_has_not_connected_is_alive_and_not_ready() -> None:
    """It says what it waits for first, not what follows from that."""
    consumer = _consumer()

    assert [] == consumer.not_live()
    assert ["Kafka has not told yet whether the topics exist"] == consumer.not_ready()


async def test_a_failed_pipeline_is_death() -> None:
    """When a pipeline has ended by a defect only a new process reads its partition."""
    consumer = _consumer()
    consumer._assignment.failed.set_exception(ZeroDivisionError())

    assert ["Work has failed; the process ends"] == consumer.not_live()
    assert isinstance(consumer._assignment.failed.exception(), ZeroDivisionError)


async def test_work_that_stands_still_with_new_clients_is_death(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients are replaced once; when nothing is done with the new ones either, it ends, and is no longer alive."""
    consumer = _consumer()
    rebuilt = []

    async def replaced() -> None:
        assert [] == consumer.not_live()
        consumer._rebuilt = True
        rebuilt.append(1)

    async def barks() -> None:
        pass

    monkeypatch.setattr(consumer._watchdog, "run", barks)
    monkeypatch.setattr(consumer, "_rebuild", replaced)
    with pytest.raises(Exit, match="also with new clients"):
        await consumer.work()

    assert [1] == rebuilt
    assert ["Work has failed; the process ends"] == consumer.not_live()


async def test_a_driver_whose_thread_hangs_is_death(monkeypatch: pytest.MonkeyPatch) -> None:
    """No new session helps it. Cassandra that is away is none."""
    consumer = _consumer()
    for silent_s, reasons in ((60.0, 0), (61.0, 1)):
        monkeypatch.setattr(consumer._driver_pulse, "silent_s", lambda silent_s=silent_s: silent_s)
        assert reasons == len(consumer.not_live())


async def test_the_status_says_what_is_wrong_and_what_waits() -> None:
    """One line for whoever asks systemd: reasons first, then partitions, records and the age of the oldest."""
    consumer, bench = _consumer(), Bench(ask_end_every_s=0)
    assert "Kafka has not told yet whether the topics exist; no partitions" == consumer.status()

    reason = "The client that sends dead letters is not connected to Kafka"
    consumer._assignment, consumer._topics_checked = bench.assignment, True
    bench.partition(login("a"), login("b"))
    bench.partition()
    bench.table.gate.close()
    bench.start()
    await until(lambda: bench.table.gate.waiting == 1 and None not in bench.lags().values())
    bench.time += 42
    assert f"{reason}; 2 partitions, 2 records wait, the oldest for 42 s" == consumer.status()
    bench.table.gate.open()
    await until(lambda: consumer.status() == f"{reason}; 2 partitions, 0 records wait")
    bench.partitions[0].damaged = {2}
    bench.partitions[0].append(bench.partitions[0].records[0])
    await until(lambda: bench.assignment.progress()[0].held)
    assert f"{reason}; 1 partition held; 2 partitions, 1 record waits, the oldest for 0 s" == consumer.status()
    await bench.assignment.abandon()
    bench.assignment.failed.cancel()


async def test_a_member_without_partitions_is_ready() -> None:
    """In the group from the end of one rebalance to the beginning of the next, with partitions or without."""
    bench = Bench()
    source = Source({}, "events", "group", bench.assignment, bench.metrics.rebalance)
    assert "Not in the consumer group group" in (source.problem or "")

    source.assigned(set())
    assert None is source.problem
    await source.revoked(set())
    assert "rebalance" in (source.problem or "")


async def test_rebalances_are_counted() -> None:
    """From the revocation to the next assignment; the first assignment, and that of a new client, are none."""
    bench, clock = Bench(), VirtualClock()
    source = Source({}, "events", "group", bench.assignment, bench.metrics.rebalance, clock=clock)

    def counted() -> tuple[float, float]:
        return bench.metrics.rebalance.buckets()[-1][1], bench.metrics.rebalance.total

    await source.revoked(set())
    clock.now = 3.0
    source.assigned(set())
    assert (0, 0) == counted()
    await source.revoked(set())
    clock.now = 5.0
    source.assigned(set())
    assert (1, 2.0) == counted()
    await source.revoked(set())
    await source.stop(0)
    source.assigned(set())
    assert (1, 2.0) == counted()


async def test_an_unanswered_question_is_an_outage_of_kafka() -> None:
    """What /readyz tells of a member without partitions the log tells too."""
    consumer = _consumer()
    assert not consumer._outage._away()

    consumer._source.unanswered = True
    assert consumer._outage._away()
    consumer._source.assigned(set())
    assert "Kafka does not answer" == consumer._source.problem


async def test_a_cassandra_that_is_away_is_told_in_words() -> None:
    """Until the table is open the reason is what the last attempt failed with."""
    attempts = []

    def away(_wanted: TableMapping) -> OpenTable:
        attempts.append(1)
        raise OperationTimedOut

    writer = Writer(TableMapping(), away, _backoff, ConsumerMetrics(CollectorRegistry()))
    assert "Not connected to Cassandra: no node has answered yet" == writer.problem

    connecting = asyncio.create_task(writer.connect())
    await until(lambda: len(attempts) > 1)
    connecting.cancel()
    assert "Not connected to Cassandra: no answer in time" == writer.problem


async def test_a_table_that_is_not_there_ends_the_start() -> None:
    """Waiting would not make it: 78, with the sentence that says what to do."""

    def no_table(_wanted: TableMapping) -> OpenTable:
        raise TableNotReady("there is no table statsdb.x; make it with `cqlsh -f tables.cql`")

    writer = Writer(TableMapping(), no_table, _backoff, ConsumerMetrics(CollectorRegistry()))
    with pytest.raises(Exit, match="there is no table") as caught:
        await writer.connect()

    assert CONFIG == caught.value.code
