"""The doctor's judgements that need no server."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import pytest

from lastlogin_producer.control import Status
from lastlogin_producer.doctor import clock
from lastlogin_producer.doctor import spool as doctor_spool
from lastlogin_producer.doctor.access import Identity, obstacle
from lastlogin_service.daemon_thread import in_thread
from lastlogin_service.doctor import report
from lastlogin_service.doctor.kernel import synchronised
from lastlogin_service.doctor.replicas import Partition, replica_lines
from lastlogin_service.doctor.report import Level, error, ok, warning
from lastlogin_service.doctor.rights import Operation, allows


LINES = [ok("a", "good"), warning("b", "odd", "look"), error("c", "bad", "mend it")]


def test_text() -> None:
    """A line each: level, what was looked at, what was found, what to do; coloured for terminals."""
    assert "ok       a: good\nwarning  b: odd; look\nerror    c: bad; mend it\n" == click.unstyle(report.text(LINES))
    assert "\x1b[31merror" in report.text(LINES)


def test_json() -> None:
    """Machines get the worst level and each line under stable keys."""
    told = json.loads(report.as_json(LINES, "1.2"))

    assert ("1.2", "error") == (told["version"], told["level"])
    assert {"check": "b", "level": "warning", "found": "odd", "do": "look"} == told["checks"][1]


def test_worst() -> None:
    """The worst level counts; of nothing it is ok."""
    assert [Level.OK, Level.OK, Level.WARNING, Level.ERROR] == [report.worst(LINES[:count]) for count in range(4)]


def partition(number: int, replicas: int, isr: int, leader: int = 1) -> Partition:
    """A partition with so many copies, so many of them in sync."""
    return Partition(number, leader, list(range(replicas)), list(range(isr)))


@pytest.mark.parametrize(
    ("partitions", "needed", "brokers", "told"),
    [
        ([partition(0, 3, 3), partition(1, 3, 3)], 2, 3, [("ok", "t: 2 partitions, 3 copies, all in sync, 2 needed")]),
        ([partition(0, 1, 1)], 1, 1, [("ok", "t: 1 partition, 1 copy, all in sync, 1 needed")]),
        ([partition(0, 3, 2)], 2, 3, [("warning", "t: not all copies are in sync in the partitions 0")]),
        (
            [partition(0, 3, 3), partition(1, 3, 1)],
            2,
            3,
            [("error", "t: fewer copies in sync than min.insync.replicas (2) in the partitions 1")],
        ),
        (
            [partition(7, 3, 2, leader=-1)],
            2,
            3,
            [("error", "t: no leader in the partitions 7"), ("warning", "t: not all")],
        ),
        ([partition(0, 1, 1)], 1, 5, [("warning", "t: 1 copy on 5 brokers")]),
        ([partition(0, 3, 3)], 1, 3, [("warning", "t: min.insync.replicas is 1: a message may be lost")]),
        ([partition(0, 3, 3)], None, 3, [("ok", "t: 1 partition, 3 copies, all in sync, how many are needed is not")]),
        ([partition(0, 3, 2)], None, 3, [("warning", "t: not all copies are in sync in the partitions 0")]),
        (
            [partition(number, 3, 2) for number in range(10)],
            2,
            3,
            [("warning", "t: not all copies are in sync in the partitions 0, 1, 2, 3, 4, 5, 6, 7 and 2 more")],
        ),
    ],
)
def test_replicas(partitions: list[Partition], needed: int | None, brokers: int, told: list[tuple[str, str]]) -> None:
    """Below the minimum is an error, behind or few a warning; on a single broker one copy is as good as it gets.

    Of a minimum that may not be seen nothing is said.
    """
    lines = list(replica_lines("t", partitions, needed, brokers))

    assert len(told) == len(lines)
    for (level, found), line in zip(told, lines, strict=True):
        assert (level, found) == (line.level, line.found[: len(found)])


def test_too_few_copies_for_the_minimum() -> None:
    """When no write can ever succeed the advice is another than to look at the brokers."""
    [line] = replica_lines("t", [partition(0, 1, 1)], 2, 1)

    assert ("error", True) == (line.level, "only 1 copy" in line.do)


@pytest.mark.parametrize(
    ("operations", "may"), [(1 << 4, True), (1 << 3 | 1 << 8, False), (-(2**31), None), (0b1111_1111_1000, True)]
)
def test_rights(operations: int, may: bool | None) -> None:  # noqa: FBT001 - what is expected
    """Bit 4 is Write; one value means that the broker does not tell."""
    assert may is allows(operations, Operation.WRITE)


@pytest.mark.parametrize(
    ("ahead_s", "level", "found"),
    [
        (0, "ok", "within 1 s of Kafka's"),
        (0.9, "ok", "within 1 s of Kafka's"),
        (-0.9, "ok", "within 1 s of Kafka's"),
        (2, "warning", "more than 1 s ahead of Kafka's"),
        (-2, "warning", "more than 1 s behind Kafka's"),
        (400, "error", "more than 300 s ahead of Kafka's: its logins are refused as future"),
        (-400, "error", "more than 300 s behind Kafka's"),
    ],
)
async def test_clock(ahead_s: float, level: str, found: str) -> None:
    """A record that was appended between two moments of ours says how far the broker's clock is from ours."""
    appended_at = 1_000_000.05 - ahead_s

    async def newer_than(at_s: float) -> bool:
        return appended_at >= at_s

    line = await clock.judge(newer_than, (1_000_000.0, 1_000_000.1), kept=True)

    assert (level, found) == (line.level, line.found)


def test_clock_alone() -> None:
    """Without Kafka an unsynchronised clock is a warning; what the kernel does not tell is not held against it."""
    assert ["warning", "ok", "ok"] == [clock.judge_alone(kept).level for kept in (False, True, None)]
    assert synchronised() in {True, False, None}


@pytest.fixture
def socket_file() -> Iterator[Path]:
    """A file that stands for a socket, in a directory that everybody may enter; pytest's own are private."""
    with TemporaryDirectory() as name:
        path = Path(name) / "dict.sock"
        path.touch()
        path.chmod(0o660)
        path.parent.chmod(0o711)
        yield path


def test_access(socket_file: Path) -> None:
    """Who owns the file, has its group or is root gets in; the first class that fits decides."""
    uid, gid = os.getuid(), os.getgid()
    stranger, other = uid + 4711, gid + 4711

    assert None is obstacle(socket_file, Identity(0, other))
    assert None is obstacle(socket_file, Identity(stranger, gid))
    assert None is obstacle(socket_file, Identity(stranger, other, (gid,)))
    assert "may not write to" in (obstacle(socket_file, Identity(stranger, other)) or "")
    socket_file.chmod(0o606)
    assert None is obstacle(socket_file, Identity(stranger, other))
    assert "(mode 0606," in (obstacle(socket_file, Identity(stranger, gid)) or "")
    socket_file.parent.chmod(0o710)
    assert "may not enter" in (obstacle(socket_file, Identity(stranger, other)) or "")


def test_levels_of_a_spool_that_is_old_or_full(tmp_path: Path) -> None:
    """Waiting for more than five minutes is a warning."""
    status = Status(1, 1, 301.0, 0, 0, 0, kafka_away=True)

    assert "warning" == doctor_spool._age(status).level


async def test_in_thread() -> None:
    """A result and an error come back; a call that hangs is left behind."""
    release = threading.Event()

    def fails() -> None:
        raise OSError("no")

    assert 7 == await in_thread(lambda: 7)
    with pytest.raises(OSError, match="no"):
        await in_thread(fails)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(in_thread(lambda: release.wait(20)), 0.05)
    release.set()
