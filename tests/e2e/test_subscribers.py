"""Others who read the topic: the examples of docs/events.md beside the real pipeline."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from lastlogin_schemas.topics import EVENTS
from lastlogin_stack.auditor import AVSC, Auditor, Place, differences
from lastlogin_stack.jars import AVRO_JARS, CASSANDRA_JARS, KAFKA_JARS, class_path, ensure
from lastlogin_stack.layout import JARS_CACHE, PROJECT_ROOT, Layout
from lastlogin_stack.readback import EventReader, Record, StatsTable
from tests.support.dict_client import Load
from tests.support.servers import Running
from tests.support.topics import own_topics


_JAVA = PROJECT_ROOT / "docs" / "examples" / "LoginSubscriber.java"


@pytest.fixture
def running(pipeline: Layout, servers: Running) -> Iterator[Running]:
    """Servers that the test may stop; they run again afterwards."""
    yield servers
    servers.ensure()


def _log_in(running: Running, count: int = 50) -> list[Record]:
    """Log new users in, and return their events as the topic has them."""
    with Load(running.layout.dict_socket, f"audited-{uuid4().hex[:8]}-", pause_s=0.002) as load:
        load.wait_until(lambda load: len(load.acknowledged) >= count)
    wanted = {user for user, _ in load.acknowledged}
    records: list[Record] = []
    deadline = time.monotonic() + 30
    with EventReader(running.layout, from_beginning=True) as events:
        while {each.event.user for each in records} < wanted:
            assert time.monotonic() < deadline
            record = events.wait_for(lambda event: event.user in wanted, 1.0)
            records += [record] if record is not None else []
    return records


def test_auditor_sees_what_became_rows(running: Running, table: StatsTable, tmp_path: Path) -> None:
    """Every event of which our consumer made a row is seen by the other program, equal in each field, with no hole."""
    with Auditor(running.layout, tmp_path) as auditor:
        records = _log_in(running)
        seen = auditor.read_to_end(30)

        assert {} == auditor.stop()

    for record in records:
        row = table.wait_for(record.event.user, lambda row: "imap" in row, 30)
        assert record.event.login_at_us == row["imap"].time_written_us
        assert [] == differences(record, seen.get(_place(record)))


def test_auditor_without_cassandra(running: Running, tmp_path: Path) -> None:
    """With Cassandra away, so that no row is written, the other program goes on reading."""
    running.cassandra.stop()
    with Auditor(running.layout, tmp_path) as auditor:
        records = _log_in(running)
        seen = auditor.read_to_end(30)

    assert [] == [problem for each in records for problem in differences(each, seen.get(_place(each)))]


def test_auditor_and_what_is_no_event(running: Running, tmp_path: Path) -> None:
    """A record that is no event, and a sequence number that is missing, are told, and it reads on."""
    stream = f"backend-{uuid4().hex[:8]}/1"
    with own_topics(running.layout) as topics:
        for sequence in (5, 3, 6):
            topics.publish_raw(b"not an event", [("origin", f"{stream}/{sequence}".encode())])
        topics.flush()
        with Auditor(running.layout, tmp_path, [topics.events]) as auditor:
            seen = auditor.read_to_end(30)

            assert {stream: [4]} == auditor.stop()
    assert ["not in single-object encoding" in each["undecodable"] for each in seen.values()] == [True] * 3


def test_java_subscriber(running: Running, tmp_path: Path) -> None:
    """The example in Java compiles, and prints every event as it is."""
    ensure(AVRO_JARS, print)
    libraries = f"{class_path(KAFKA_JARS)}:{class_path(AVRO_JARS)}"
    # The compiler that comes with Cassandra: a JRE has none.
    (compiler,) = (JARS_CACHE / CASSANDRA_JARS.directory_name).glob("ecj-*.jar")
    jars = [str(jar) for name in (KAFKA_JARS, AVRO_JARS) for jar in (JARS_CACHE / name.directory_name).glob("*.jar")]
    subprocess.run(
        ["java", "-jar", compiler, "--release", "17", "-d", tmp_path, "-cp", ":".join(jars), _JAVA],
        check=True,
        timeout=60,
    )
    records = _log_in(running)
    command = ["java", "-cp", f"{tmp_path}:{libraries}", _JAVA.stem, running.layout.kafka_bootstrap]
    command += [f"java-{uuid4().hex[:8]}", EVENTS, str(AVSC / "login_event.v1.avsc")]

    seen: dict[tuple[int, int], str] = {}
    with (
        (tmp_path / "err").open("wb") as err,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True, env=os.environ) as process,
    ):
        try:
            assert process.stdout is not None
            for line in process.stdout:
                partition, offset, text = line.split(maxsplit=2)
                seen[int(partition), int(offset)] = text
                if {(each.partition, each.offset) for each in records} <= seen.keys():
                    break
        finally:
            process.kill()

    for record in records:
        printed = json.loads(seen[record.partition, record.offset])
        assert record.event._asdict() | {"login_at": record.event.login_at_us // 1000} == printed


def _place(record: Record) -> Place:
    return EVENTS, record.partition, record.offset
