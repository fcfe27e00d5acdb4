"""`lastlogin-producer drain`: says what waits, sends it, and lets nobody delete a spool that is not empty."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.integration.backend.conftest import MAIL_ID
from tests.support.command import Ended, service
from tests.support.dict_client import write
from tests.support.process import wait_until
from tests.support.producer import ProducerProcess
from tests.support.secured_kafka import SecuredKafka
from tests.support.spool import edit, open_spool, store


USERS = ["a", "b", "c"]
NOWHERE = {"KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that other users may enter; pytest's own are private."""
    with TemporaryDirectory(prefix="ll-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def kafka(kafka_with_rights: SecuredKafka) -> dict[str, str]:
    """Settings of a Kafka with topics."""
    return {
        "KAFKA__BOOTSTRAP_SERVERS": kafka_with_rights.plain,
        "TOPICS__EVENTS": kafka_with_rights.create(),
        "TOPICS__QUARANTINE": kafka_with_rights.create(),
    }


def drain(directory: Path, kafka: dict[str, str], *arguments: str) -> Ended:
    """Run it on the spool in `directory`."""
    return service("lastlogin-producer", "drain", *arguments, SPOOL__DIRECTORY=str(directory / "spool"), **kafka)


async def fill(directory: Path) -> None:
    """A spool that a producer left with three logins."""
    async with open_spool(directory / "spool") as spool:
        await store(spool, USERS)


def published(kafka: dict[str, str]) -> int:
    """Events on the topic."""
    servers = kafka["KAFKA__BOOTSTRAP_SERVERS"]
    reader = Consumer({"bootstrap.servers": servers, "group.id": "x", "enable.auto.commit": False})
    try:
        ends = [reader.get_watermark_offsets(TopicPartition(kafka["TOPICS__EVENTS"], n), timeout=10) for n in (0, 1)]
        return sum(high for _, high in ends)
    finally:
        reader.close()


def test_a_running_producer(directory: Path, kafka: dict[str, str]) -> None:
    """With Kafka away it says how many wait, with 75, also after a wait; with Kafka back it ends with 0."""
    with ProducerProcess(directory) as producer:
        producer.serve()
        for user in USERS:
            write(producer.socket, user, f"shared/last-login/imap/{user}", "1795387910161")
        for arguments in ((), ("--wait", "--timeout", "0.3")):
            ended = drain(directory, NOWHERE, *arguments)
            assert 75 == ended.code
            assert f"3 messages wait for Kafka in {directory}/spool/spool.sqlite\n" == ended.err
        assert 0 == producer.stop()
    with ProducerProcess(directory, "second", **kafka) as producer:
        producer.serve()
        ended = drain(directory, kafka, "--wait")

    assert (0, "") == (ended.code, ended.err)
    assert ended.out.endswith("Nothing waits for Kafka; now stop the producer, which still takes logins on\n")


async def test_without_a_producer(directory: Path, kafka: dict[str, str]) -> None:
    """Without --wait nothing is sent, and the spool is left as it is; with it, all goes out, and that is all."""
    await fill(directory)
    before = published(kafka)
    for arguments in ((), ("--wait", "--timeout", "0.5")):
        ended = drain(directory, NOWHERE, *arguments)
        assert 75 == ended.code
        assert f"3 messages wait for Kafka in {directory}/spool/spool.sqlite\n" in ended.err
    assert before == published(kafka)

    ended = drain(directory, kafka, "--wait")
    assert (0, "3 messages wait for Kafka\nNothing waits for Kafka\n", "") == (ended.code, ended.out, ended.err)
    assert before + 3 == published(kafka)
    assert (0, "Nothing waits for Kafka\n") == (drain(directory, kafka).code, drain(directory, kafka).out)
    assert not (directory / "dict.sock").exists()


async def test_as_root(directory: Path, kafka: dict[str, str]) -> None:
    """Root works on the spool as the user whose it is: every file stays that user's."""
    await fill(directory)
    uid = MAIL_ID if os.geteuid() == 0 else os.geteuid()
    for path in (directory / "spool", *(directory / "spool").iterdir()):
        os.chown(path, uid, -1)
    ended = drain(directory, kafka, "--wait")

    assert (0, "") == (ended.code, ended.err)
    assert {uid} == {path.stat().st_uid for path in (directory / "spool").iterdir()}


async def test_set_aside(directory: Path, kafka: dict[str, str]) -> None:
    """Messages that were not sent because they are damaged are told, with 65: their file must be kept."""
    await fill(directory)
    edit(directory / "spool", "UPDATE messages SET crc = crc + 1 WHERE sequence = 2")
    before = published(kafka)
    ended = drain(directory, kafka, "--wait")

    assert (65, before + 2) == (ended.code, published(kafka))
    assert "1 messages were set aside and never sent; they are in the table `" in ended.err
    assert ended.err.endswith(f"` of {directory}/spool/spool.sqlite\n")
    assert 65 == drain(directory, kafka).code


async def test_a_file_moved_aside(directory: Path, kafka: dict[str, str]) -> None:
    """So is a damaged file that a start had to move aside."""
    async with open_spool(directory / "spool"):
        pass
    aside = directory / "spool" / "spool.sqlite.damaged-20260328T140000.000000Z"
    aside.touch()
    ended = drain(directory, kafka)

    assert 65 == ended.code
    assert f"{aside}: a damaged spool that was moved aside; some of it may never have been sent\n" == ended.err


def test_no_spool(directory: Path, kafka: dict[str, str]) -> None:
    """Where there is no spool the settings are another producer's: that is not empty, it is 78, and nothing is made."""
    for arguments in ((), ("--wait",)):
        ended = drain(directory, kafka, *arguments)
        assert (78, "") == (ended.code, ended.out)
        assert "there is no spool; are these the settings of the producer that is meant?" in ended.err
    assert [] == list(directory.iterdir())


def test_interrupted(directory: Path, kafka: dict[str, str]) -> None:
    """SIGINT ends it with 130 and without a traceback; the spool is free and whole."""
    asyncio.run(fill(directory))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LASTLOGIN_")}
    settings = {"SPOOL__DIRECTORY": str(directory / "spool"), **NOWHERE}
    environ |= {f"LASTLOGIN_PRODUCER_{name}": value for name, value in settings.items()}
    script = Path(sys.executable).with_name("lastlogin-producer")
    # Unbuffered, so that it is seen when it has begun.
    environ["PYTHONUNBUFFERED"] = "1"
    out = directory / "out"
    with out.open("wb") as stream:
        process = subprocess.Popen([script, "drain", "--wait"], env=environ, stdout=stream, stderr=stream)
    wait_until(lambda: "3 messages wait" in out.read_text())
    process.send_signal(signal.SIGINT)

    assert 130 == process.wait(20)
    assert "Traceback" not in out.read_text()
    assert 0 == drain(directory, kafka, "--wait").code
