"""The socket file: made with its rights, replaced when stale, and never taken from somebody else."""

import grp
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from lastlogin_producer.listener import Listener, SocketFile
from lastlogin_service.exits import CONFIG, TEMPFAIL, Exit


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    """The file that a killed server left behind is no obstacle."""
    path = tmp_path / "dict.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    listener = Listener(SocketFile(path))

    with listener.open(), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.remove()
    assert not path.exists()


def test_somebody_elses_file_is_left_alone(tmp_path: Path) -> None:
    """A file that is no socket is not removed; nor is a socket that has taken the place of ours."""
    path = tmp_path / "dict.sock"
    path.write_text("precious")
    with pytest.raises(Exit, match="is not a socket") as caught:
        Listener(SocketFile(path)).open()
    assert CONFIG == caught.value.code
    path.unlink()

    listener = Listener(SocketFile(path))
    with listener.open():
        path.rename(tmp_path / "ours")
        path.write_text("another's")
        listener.remove()
    assert "another's" == path.read_text()


def test_a_directory_that_is_missing(tmp_path: Path) -> None:
    """A path that cannot be used is a sentence, with what to look at."""
    with pytest.raises(Exit, match="its directory must exist"):
        Listener(SocketFile(tmp_path / "missing" / "dict.sock")).open()


def test_an_owner_that_does_not_exist(tmp_path: Path) -> None:
    """An unknown owner is a sentence, and no socket is left behind."""
    path = tmp_path / "dict.sock"
    with pytest.raises(Exit, match=r"not known to this system: .*nobody-of-that-name") as caught:
        Listener(SocketFile(path, owner="nobody-of-that-name")).open()

    assert CONFIG == caught.value.code
    assert not path.exists()


# Root may give a file to anybody, so it becomes somebody else first.
STRANGER = 65_534
GIVE = f"""
import os, sys
from pathlib import Path
from lastlogin_producer.listener import Listener, SocketFile
from lastlogin_service.exits import Exit

if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(*[{STRANGER}] * 3)
    os.setresuid(*[{STRANGER}] * 3)
how, path, owner, group = sys.argv[1:]
try:
    getattr(Listener(SocketFile(Path(path), owner=owner or None, group=group or None)), how)()
except Exit as end:
    print(end.code, end.message)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory in which everybody may make files (pytest's own are private)."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def give(how: str, directory: Path, owner: str = "", group: str = "") -> str:
    """The exit code and sentence that a user without special rights gets for a socket in `directory`."""
    command = [sys.executable, "-c", GIVE, how, str(directory / "dict.sock"), owner, group]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


@pytest.mark.parametrize("how", ["check", "open"])
def test_a_group_that_the_user_is_not_in(place: Path, how: str) -> None:
    """The check tells before the start, in the same words: the key, the group and the way out."""
    told = give(how, place, group="root")

    assert told.startswith("78 socket.group: root - the user that the producer runs as is not in this group; ")
    assert "SupplementaryGroups=" in told
    assert [] == list(place.iterdir())


@pytest.mark.parametrize("how", ["check", "open"])
def test_another_owner(place: Path, how: str) -> None:
    """The same of an owner; root itself may give the socket to anybody."""
    assert give(how, place, owner="root").startswith("78 socket.owner: root - only root may give the socket ")
    if os.geteuid() == 0:
        assert not Listener(SocketFile(place / "dict.sock", owner="nobody", group="nogroup")).check()


def group_of_a_directory() -> str:
    """A group that a directory of ours can have: root's, in which the user of `give` is not, or another one of ours."""
    if os.geteuid() == 0:
        return "root"
    ours = [os.getegid(), *os.getgroups()]
    return grp.getgrgid(next((group for group in ours if group != ours[0]), ours[0])).gr_name


@pytest.mark.parametrize("how", ["check", "open"])
def test_a_group_that_comes_from_the_directory(place: Path, how: str) -> None:
    """Where the directory hands its own group down the socket has it, and nobody has to be in it."""
    group = group_of_a_directory()
    shutil.chown(place, group=group)
    place.chmod(0o2777)

    assert "" == give(how, place, group=group)
    assert [group] * (how == "open") == [file.group() for file in place.iterdir()]


def test_a_server_with_a_full_backlog_is_alive(tmp_path: Path) -> None:
    """A socket whose server is too busy to take us is not taken for a stale one."""
    path = tmp_path / "dict.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        with pytest.raises(Exit, match="another server listens there") as caught:
            Listener(SocketFile(path)).open()

    assert TEMPFAIL == caught.value.code
    assert path.exists()


def test_the_file_appears_when_it_can_be_connected_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its name the file has its rights and is listened to from its first moment: nobody is ever refused."""
    path = tmp_path / "dict.sock"
    seen: list[tuple[str, bool]] = []
    for step in ("bind", "listen"):

        def look(self: socket.socket, *arguments: Any, step: str = step) -> None:
            getattr(super(type(self), self), step)(*arguments)
            seen.append((step, path.exists()))

        monkeypatch.setattr(socket.socket, step, look, raising=False)
    chown = os.chown
    monkeypatch.setattr(os, "chown", lambda *arguments: (seen.append(("chown", path.exists())), chown(*arguments)))
    listener = Listener(SocketFile(path))
    with listener.open():
        assert [("bind", False), ("chown", False), ("listen", False)] == seen
        assert [path] == list(tmp_path.iterdir())
        assert listener.in_place
    listener.remove()


def test_a_server_that_comes_at_the_same_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made the file between our look and our turn keeps it."""
    path = tmp_path / "dict.sock"
    other = socket.socket(socket.AF_UNIX)
    listen = socket.socket.listen

    def slow(self: socket.socket, backlog: int) -> None:
        listen(self, backlog)
        if not path.exists():
            other.bind(str(path))

    monkeypatch.setattr(socket.socket, "listen", slow, raising=False)
    with other, pytest.raises(Exit, match="another server has just begun") as caught:
        Listener(SocketFile(path)).open()

    assert TEMPFAIL == caught.value.code
    assert [path] == list(tmp_path.iterdir())


def test_the_umask_is_put_back(tmp_path: Path) -> None:
    """Only the socket's own file is made under its mask."""
    before = os.umask(0o027)
    try:
        listener = Listener(SocketFile(tmp_path / "dict.sock", mode=0o666))
        with listener.open():
            assert 0o666 == (tmp_path / "dict.sock").stat().st_mode & 0o777
        listener.remove()
        assert 0o027 == os.umask(0o027)
    finally:
        os.umask(before)
