"""What a check of the configuration finds out about whoever listens where the producer would."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lastlogin_producer import preflight
from lastlogin_producer.listener import Listener
from lastlogin_producer.settings import ProducerSettings
from lastlogin_producer.spool.directory import SpoolLock, is_locked
from lastlogin_producer.spool.spool import LOCK_NAME
from lastlogin_producer.unix_sockets import holder, listening_inodes
from lastlogin_service.exits import TEMPFAIL, Exit
from lastlogin_service.settings import load
from tests.support.activation import listening


@pytest.fixture
def settings(tmp_path: Path) -> ProducerSettings:
    """A producer's settings, everything in a directory of the test's own."""
    variables = {
        "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "SOCKET__PATH": str(tmp_path / "dict.sock"),
        "SPOOL__DIRECTORY": str(tmp_path / "spool"),
    }
    return load(ProducerSettings, None, {f"LASTLOGIN_PRODUCER_{name}": value for name, value in variables.items()})


@pytest.fixture
def held(settings: ProducerSettings) -> Iterator[socket.socket]:
    """Somebody listens there, and no producer of ours runs."""
    with listening(settings.socket.path) as held:
        yield held


@pytest.mark.usefixtures("held")
def test_a_foreign_listener(settings: ProducerSettings) -> None:
    """Another program that listens there is found, and named as the reason (75)."""
    assert os.getpid() == holder(listening_inodes(settings.socket.path))
    with pytest.raises(Exit, match="another server listens there") as caught:
        preflight._check_socket(settings)
    assert TEMPFAIL == caught.value.code


@pytest.mark.usefixtures("held")
def test_the_service_manager(settings: ProducerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service manager listens for us: there is nothing to say."""
    monkeypatch.setattr(preflight, "_SERVICE_MANAGER", os.getpid())

    assert [] == preflight._check_socket(settings)


@pytest.mark.usefixtures("held")
def test_the_service_managers_socket_is_given_away_by_its_own_settings(
    settings: ProducerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`socket.owner` and `socket.group` do not count for it: whether this user could give it away is not asked."""
    monkeypatch.setattr(preflight, "_SERVICE_MANAGER", os.getpid())
    monkeypatch.setattr(Listener, "_require_gift", lambda *_: pytest.fail("asked"))

    assert [] == preflight._check_socket(settings)


@pytest.mark.usefixtures("held")
def test_a_listener_that_cannot_be_seen(settings: ProducerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not look into other users' processes is warned, for it may be the service manager."""
    monkeypatch.setattr(preflight, "holder", lambda _: None)
    [found] = preflight._check_socket(settings)

    assert found.code is None
    assert "only root can see" in found.sentence


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("hidden", ["/proc/locks", "/proc/self/mountinfo"])
def test_without_the_list_of_locks(settings: ProducerSettings, monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    """Where /proc is hidden the check warns and goes on."""
    settings.spool.directory.mkdir()
    (settings.spool.directory / LOCK_NAME).touch()
    plain = Path.open

    def opened(self: Path, *arguments: Any, **options: Any) -> Any:
        if str(self) == hidden:
            raise PermissionError(13, "Permission denied", hidden)
        return plain(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    [found] = preflight._check_socket(settings)

    assert found.code is None
    assert "who it is cannot be seen" in found.sentence


def test_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock is found by device and inode: a locked file of another file system with the same inode is another."""
    path = tmp_path / "lock"
    lock = SpoolLock(path)
    locked = is_locked(path)
    listed = Path("/proc/locks").read_text("ascii")
    inode = path.stat().st_ino
    [device] = {line.split()[5].rpartition(":")[0] for line in listed.splitlines() if line.endswith(f":{inode} 0 EOF")}
    lock.release()
    plain = Path.read_text

    def read(self: Path, *arguments: Any, **options: Any) -> str:
        return elsewhere if str(self) == "/proc/locks" else plain(self, *arguments, **options)

    elsewhere = listed.replace(f"{device}:{inode}", f"ff:ff:{inode}")
    monkeypatch.setattr(Path, "read_text", read)

    assert (True, False) == (locked, is_locked(path))
    assert not is_locked(tmp_path / "none")
