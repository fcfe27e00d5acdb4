"""What systemd is told, and when nobody is."""

import asyncio
import os
import resource
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from lastlogin_service.notify import Notifier, beat
from tests.support.service_manager import ServiceManager


def notifier_of(manager: ServiceManager, **variables: str) -> Notifier:
    """What a service has that `manager` started."""
    return Notifier({"NOTIFY_SOCKET": manager.address, **variables})


@pytest.mark.parametrize("abstract", [False, True])
def test_states(tmp_path: Path, *, abstract: bool) -> None:
    """Each state is one datagram in systemd's words, to a path or to an abstract name."""
    address = f"@lastlogin-test-{os.getpid()}" if abstract else tmp_path / "notify"
    with ServiceManager(address) as manager, closing(notifier_of(manager)) as notifier:
        notifier.ready()
        notifier.status("3 messages\nwait")
        notifier.alive()
        notifier.stopping()

        assert ["READY=1", "STATUS=3 messages wait", "WATCHDOG=1", "STOPPING=1"] == manager.told()
        assert notifier.heard


def test_reloading(tmp_path: Path) -> None:
    """A reload is told with the time at which it began, and its end even when it fails."""
    with ServiceManager(tmp_path / "notify") as manager, closing(notifier_of(manager)) as notifier:
        before = time.monotonic_ns() // 1_000
        with suppress(ValueError), notifier.reloading():
            raise ValueError
        first, second = manager.told()

    state, at = first.split("\n")
    assert ("RELOADING=1", "READY=1") == (state, second)
    assert before <= int(at.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1_000


@pytest.mark.parametrize("address", [None, "", "vsock:2:1"])
def test_nobody_to_tell(address: str | None) -> None:
    """Without a socket, or with one of a kind that we do not speak, nothing happens."""
    notifier = Notifier({} if address is None else {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    notifier.ready()

    assert not notifier.heard
    assert notifier.watchdog_s is None


def test_a_manager_that_has_gone(tmp_path: Path) -> None:
    """A socket that nobody reads any more does not stop the service."""
    with ServiceManager(tmp_path / "notify") as manager:
        notifier = notifier_of(manager)
    with closing(notifier):
        notifier.ready()
        assert notifier.heard


@pytest.mark.parametrize(
    ("variables", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog(tmp_path: Path, variables: dict[str, str], watchdog_s: float | None) -> None:
    """It is fed at half of its time, if it is ours. The variables are taken away: a child must not speak for us."""
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "HOME": "/", **variables}

    with closing(Notifier(environ)) as notifier:
        assert watchdog_s == notifier.watchdog_s
    assert {"HOME": "/"} == environ


def test_without_a_free_descriptor(tmp_path: Path) -> None:
    """The watchdog is fed all the same: the service goes on, and must not be killed."""
    with ServiceManager(tmp_path / "notify") as manager, closing(notifier_of(manager)) as notifier:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with Path(os.devnull).open() as highest:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno(), hard))
            try:
                with pytest.raises(OSError, match="Too many open files"):
                    os.dup(highest.fileno())
                notifier.alive()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        assert ["WATCHDOG=1"] == manager.told()


async def test_beat(tmp_path: Path) -> None:
    """While nothing is wrong the watchdog is fed; with something wrong it is not, and the status is still told."""
    wrong: list[str] = []
    with (
        ServiceManager(tmp_path / "notify") as manager,
        closing(notifier_of(manager, WATCHDOG_USEC="20000")) as notifier,
    ):
        beating = asyncio.create_task(beat(notifier, lambda: wrong, lambda: f"{len(wrong)} wrong"))
        async with asyncio.timeout(5):
            while (told := manager.told())[-2:] != ["STATUS=0 wrong", "WATCHDOG=1"]:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.001)
        wrong.append("disk")
        manager.told()
        told = []
        async with asyncio.timeout(5):
            while told.count("STATUS=1 wrong") < 3:
                await asyncio.sleep(0.001)
                told += manager.told()
        beating.cancel()

    assert {"STATUS=1 wrong"} == set(told)
