"""`lastlogin-producer resend`: a running producer is told, a spool without one is marked."""

import asyncio
import time
from collections import Counter
from pathlib import Path

from lastlogin_producer.outcome import Outcome
from tests.support.command import Ended, service
from tests.support.dict_client import write
from tests.support.producer import ProducerProcess
from tests.support.publisher import OutTopics
from tests.support.spool import append, open_spool, unnumbered


def command(directory: Path, since: str) -> Ended:
    """Run it."""
    where = {"SPOOL__DIRECTORY": str(directory), "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    return service("lastlogin-producer", "resend", "--since", since, **where)


def test_a_running_producer(topics: OutTopics, tmp_path: Path) -> None:
    """What Kafka has taken goes out once more."""
    with ProducerProcess(tmp_path, **topics.producer_settings) as producer:
        producer.serve()
        for user in ("a", "b"):
            assert b"O1\n" == write(producer.socket, user, f"shared/last-login/imap/{user}", "1795387910161")
        producer.wait_until(lambda: len(topics.records(topics.events)) == 2)

        ended = command(tmp_path / "spool", "1h")
        assert (0, "2 messages wait again and go out now\n", "") == (ended.code, ended.out, ended.err)
        producer.wait_until(lambda: len(topics.records(topics.events)) == 4)
        assert 0 == producer.stop()
    assert {b"a": 2, b"b": 2} == Counter(record.key for record in topics.records(topics.events))


async def test_without_a_producer(tmp_path: Path) -> None:
    """The spool is marked, and its messages wait for the next start."""
    async with open_spool(tmp_path, now_us=lambda: time.time_ns() // 1_000) as spool:
        assert [Outcome.STORED] == await append(spool, unnumbered())
        spool.delivered([1])

    ended = await asyncio.to_thread(command, tmp_path, "1h")

    assert (0, "1 messages wait again; they go out when the producer runs\n", "") == (ended.code, ended.out, ended.err)
    async with open_spool(tmp_path) as spool:
        assert (1, 0) == (spool.rows_waiting, spool.rows_kept)


def test_no_spool(tmp_path: Path) -> None:
    """Without a spool it is 78, and nothing is made."""
    ended = command(tmp_path / "spool", "2h")

    assert (78, "") == (ended.code, ended.out)
    assert "there is no spool" in ended.err
    assert [] == list(tmp_path.iterdir())


def test_no_moment(tmp_path: Path) -> None:
    """What is no moment is a usage error, in words."""
    ended = command(tmp_path, "soon")

    assert 2 == ended.code
    assert "'soon' is neither a duration such as 2h nor a time in the past" in ended.err
